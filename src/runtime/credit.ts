import { type Lane, lanes } from '../protocol/envelope';

export interface CreditLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/**
 * What a sender may have on its way to a receiver that has not confirmed it. Data may use three quarters, so that a
 * flood leaves room for consensus; completions answer a request that was admitted and always pass. One frame may
 * overshoot the limit in bytes, so that any frame can pass an empty window.
 */
export class SendWindow {
  private messages = 0;
  private bytes = 0;

  constructor(private readonly limits: CreditLimits) {}

  get outstanding(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.messages, bytes: this.bytes };
  }

  /** False: no credit for this lane. */
  take(lane: Lane, bytes: number): boolean {
    const share = lane === lanes.data ? 0.75 : 1;
    const isOpen = this.messages < this.limits.messagesMax * share && this.bytes < this.limits.bytesMax * share;
    if (!isOpen && lane !== lanes.completion) return false;
    this.messages++;
    this.bytes += bytes;
    return true;
  }

  /** The receiver has taken them. */
  give(messages: number, bytes: number): void {
    this.messages = Math.max(0, this.messages - messages);
    this.bytes = Math.max(0, this.bytes - bytes);
  }
}
