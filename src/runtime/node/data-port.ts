import type { MessagePort } from 'node:worker_threads';
import { portBytesMax, portMessagesMax } from '../../base/limits';
import type { Lane } from '../../protocol/envelope';
import { SendWindow } from '../credit';
import type { ThreadNumber } from '../directory';
import { Batcher, type ParcelKind } from '../frames';

/** An actor that is gone, and why. */
export type Gone = readonly [name: string, reason: string];

/** What travels on a port between two threads. A batch is one transferred buffer. */
type PortMessage =
  | {
      readonly type: 'batch';
      readonly buffer: ArrayBuffer;
      readonly length: number;
      /** What the receiver gives back: frames, and their bytes as the sender counted them. */
      readonly messages: number;
      readonly bytes: number;
    }
  | { readonly type: 'taken'; readonly messages: number; readonly bytes: number }
  | { readonly type: 'added'; readonly names: readonly string[] }
  | { readonly type: 'removed'; readonly names: readonly Gone[] };

export interface DataPortHandlers {
  readonly onBatch: (thread: ThreadNumber, batch: Uint8Array) => void;
  readonly onAdded: (thread: ThreadNumber, names: readonly string[]) => void;
  readonly onRemoved: (thread: ThreadNumber, names: readonly Gone[]) => void;
}

/**
 * One thread's end of its direct connection to another. Frames are gathered until flush(); announcements and frames
 * arrive in the order in which they were sent. The window counts bytes from when a frame is gathered until the receiver
 * has taken its batch, so a thread that hangs holds back a bounded amount.
 */
export class DataPort {
  private batcher = new Batcher();
  private readonly window = new SendWindow({ messagesMax: portMessagesMax, bytesMax: portBytesMax });
  private gatheredBytes = 0;
  private takenMessages = 0;
  private takenBytes = 0;

  constructor(
    readonly thread: ThreadNumber,
    private readonly port: MessagePort,
    private readonly handlers: DataPortHandlers,
  ) {
    port.on('message', (message: PortMessage) => this.receive(message));
  }

  get outstanding(): { readonly messages: number; readonly bytes: number } {
    return this.window.outstanding;
  }

  /** False: without credit, nothing was taken. */
  send(lane: Lane, kind: ParcelKind, frame: Uint8Array): boolean {
    if (!this.window.take(lane, frame.length)) return false;
    this.batcher.add(kind, frame);
    this.gatheredBytes += frame.length;
    if (this.batcher.isFull) this.flush();
    return true;
  }

  announceAdded(names: readonly string[]): void {
    this.flush();
    this.port.postMessage({ type: 'added', names } satisfies PortMessage);
  }

  announceRemoved(names: readonly Gone[]): void {
    this.flush();
    this.port.postMessage({ type: 'removed', names } satisfies PortMessage);
  }

  flush(): void {
    if (this.batcher.isEmpty) return;
    const batch = this.batcher.take();
    const bytes = this.gatheredBytes;
    this.gatheredBytes = 0;
    const buffer = batch.bytes.buffer as ArrayBuffer;
    const message: PortMessage = { type: 'batch', buffer, length: batch.bytes.length, messages: batch.count, bytes };
    this.port.postMessage(message, [buffer]);
  }

  /** Nothing is received afterwards, not even what has arrived already. */
  close(): void {
    this.port.removeAllListeners('message');
    this.port.close();
  }

  private receive(message: PortMessage): void {
    if (message.type === 'batch') this.receiveBatch(message);
    else if (message.type === 'taken') this.window.give(message.messages, message.bytes);
    else if (message.type === 'added') this.handlers.onAdded(this.thread, message.names);
    else this.handlers.onRemoved(this.thread, message.names);
  }

  private receiveBatch({ buffer, length, messages, bytes }: Extract<PortMessage, { readonly type: 'batch' }>): void {
    this.handlers.onBatch(this.thread, new Uint8Array(buffer, 0, length));
    this.takenMessages += messages;
    this.takenBytes += bytes;
    // Confirmations are rare: one for each eighth of the window.
    if (this.takenMessages * 8 < portMessagesMax && this.takenBytes * 8 < portBytesMax) return;
    this.port.postMessage({
      type: 'taken',
      messages: this.takenMessages,
      bytes: this.takenBytes,
    } satisfies PortMessage);
    this.takenMessages = 0;
    this.takenBytes = 0;
  }
}
