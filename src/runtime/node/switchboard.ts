import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { assert } from '../../base/assert';
import type { ThreadNumber } from '../directory';

/** A thread as the switchboard sees it: its hub, or the handle on it. */
export interface SwitchMember {
  addPeer(thread: ThreadNumber, port: MessagePort): void;
  removePeer(thread: ThreadNumber, reason: string): void;
}

/**
 * Gives every pair of a machine's threads a direct port when the second of them joins. Lives on the main thread, which
 * carries none of what the threads then tell each other.
 */
export class Switchboard {
  private readonly members = new Map<ThreadNumber, SwitchMember>();

  join(thread: ThreadNumber, member: SwitchMember): void {
    assert(!this.members.has(thread), () => `thread ${thread} has joined already`);
    for (const [otherThread, other] of this.members) {
      const { port1, port2 } = new MessageChannel();
      other.addPeer(thread, port1);
      member.addPeer(otherThread, port2);
    }
    this.members.set(thread, member);
  }

  /** Only after the thread's exit event: from now on its peers hear nothing of it, and its actors' names are free. */
  leave(thread: ThreadNumber, reason: string): void {
    if (!this.members.delete(thread)) return;
    for (const member of this.members.values()) member.removePeer(thread, reason);
  }
}
