import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { assert } from '../../base/assert';
import type { NodeName } from '../../base/ids';
import type { Batch } from '../frames';
import type { Link, LinkConnection } from '../link';

const nodeCountMax = 64;
const cellsPerPair = 3;
const cutCell = 0;
const delayCell = 1;
const jitterCell = 2;
/** Bytes on a port that the other side has not confirmed before the link holds back. */
const outstandingBytesMax = 16 * 1024 * 1024;

/** Where the faults of one direction between two nodes are read: three words in shared memory. */
export interface FaultCells {
  readonly table: SharedArrayBuffer;
  readonly offset: number;
}

export interface Faults {
  /** Everything is lost without notice, as on a pulled cable. */
  readonly cut: boolean;
  readonly delayMs: number;
  /** Each batch is held up to this much longer, on its own: later ones overtake. */
  readonly jitterMs: number;
}

type AcceptPort = (peer: NodeName, port: MessagePort, faults: FaultCells) => void;

/**
 * The network between the simulated machines of one process. Each pair of attached nodes shares a message channel;
 * faults are written to shared memory from outside and read by the sending side, on whichever thread that is.
 */
export class LinkFabric {
  private readonly table = new SharedArrayBuffer(nodeCountMax * nodeCountMax * cellsPerPair * 4);
  private readonly cells = new Int32Array(this.table);
  private readonly indexes = new Map<NodeName, number>();
  private readonly attached = new Map<NodeName, AcceptPort>();

  /** The node's link end is up: `accept` gets a port to each other node, now and whenever one comes up. */
  attach(node: NodeName, accept: AcceptPort): void {
    this.attached.delete(node);
    for (const [other, acceptOther] of this.attached) {
      const { port1, port2 } = new MessageChannel();
      accept(other, port1, this.faultCells(node, other));
      acceptOther(node, port2, this.faultCells(other, node));
    }
    this.attached.set(node, accept);
  }

  /** The node's link end is gone. Its ports close by themselves when their thread ends. */
  detach(node: NodeName): void {
    this.attached.delete(node);
  }

  /** Sets what is given for everything that `from` sends to `to`; the rest stays. */
  setFaults(from: NodeName, to: NodeName, faults: Partial<Faults>): void {
    const { offset } = this.faultCells(from, to);
    if (faults.cut !== undefined) Atomics.store(this.cells, offset + cutCell, faults.cut ? 1 : 0);
    if (faults.delayMs !== undefined) Atomics.store(this.cells, offset + delayCell, faults.delayMs);
    if (faults.jitterMs !== undefined) Atomics.store(this.cells, offset + jitterCell, faults.jitterMs);
  }

  /** Both directions. */
  cut(a: NodeName, b: NodeName): void {
    this.setFaults(a, b, { cut: true });
    this.setFaults(b, a, { cut: true });
  }

  delay(a: NodeName, b: NodeName, delayMs: number): void {
    this.setFaults(a, b, { delayMs });
    this.setFaults(b, a, { delayMs });
  }

  reorder(a: NodeName, b: NodeName, jitterMs: number): void {
    this.setFaults(a, b, { jitterMs });
    this.setFaults(b, a, { jitterMs });
  }

  /** Ends all faults between the two. */
  heal(a: NodeName, b: NodeName): void {
    this.setFaults(a, b, { cut: false, delayMs: 0, jitterMs: 0 });
    this.setFaults(b, a, { cut: false, delayMs: 0, jitterMs: 0 });
  }

  healAll(): void {
    for (let i = 0; i < this.cells.length; i++) Atomics.store(this.cells, i, 0);
  }

  private faultCells(from: NodeName, to: NodeName): FaultCells {
    const pair = this.indexOf(from) * nodeCountMax + this.indexOf(to);
    return { table: this.table, offset: pair * cellsPerPair };
  }

  private indexOf(node: NodeName): number {
    const known = this.indexes.get(node);
    if (known !== undefined) return known;
    const index = this.indexes.size;
    assert(index < nodeCountMax, () => `a fabric joins at most ${nodeCountMax} nodes`);
    this.indexes.set(node, index);
    return index;
  }
}

type FabricMessage =
  | { readonly type: 'batch'; readonly buffer: ArrayBuffer; readonly length: number }
  | { readonly type: 'taken'; readonly bytes: number };

/** One end of a fabric's channel, as a connection of its thread's link. */
export class PortConnection implements LinkConnection {
  private readonly cells: Int32Array;
  private readonly held = new Set<NodeJS.Timeout>();
  private outstandingBytes = 0;
  private isCongested = false;
  private closed = false;

  constructor(
    readonly peer: NodeName,
    private readonly port: MessagePort,
    private readonly faults: FaultCells,
    private readonly link: Link,
  ) {
    this.cells = new Int32Array(faults.table);
    port.on('message', (message: FabricMessage) => this.receive(message));
    port.on('close', () => this.close());
    link.attached(this);
  }

  send(batch: Batch): boolean {
    if (this.closed || this.fault(cutCell) !== 0) return true;
    const delayMs = this.fault(delayCell) + Math.random() * this.fault(jitterCell);
    if (delayMs > 0) this.hold(batch, delayMs);
    else this.post(batch);
    this.isCongested = this.outstandingBytes > outstandingBytesMax;
    return !this.isCongested;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const timer of this.held) clearTimeout(timer);
    this.port.removeAllListeners('message');
    this.port.close();
    this.link.detached(this);
  }

  private hold(batch: Batch, delayMs: number): void {
    const timer = setTimeout(() => {
      this.held.delete(timer);
      if (this.fault(cutCell) === 0) this.post(batch);
    }, delayMs);
    this.held.add(timer);
  }

  private post({ bytes }: Batch): void {
    const buffer = bytes.buffer as ArrayBuffer;
    const message: FabricMessage = { type: 'batch', buffer, length: bytes.length };
    this.outstandingBytes += bytes.length;
    this.port.postMessage(message, [buffer]);
  }

  private receive(message: FabricMessage): void {
    if (message.type === 'batch') {
      this.link.received(this, new Uint8Array(message.buffer, 0, message.length));
      this.port.postMessage({ type: 'taken', bytes: message.length } satisfies FabricMessage);
      return;
    }
    this.outstandingBytes -= message.bytes;
    if (!this.isCongested || this.outstandingBytes > outstandingBytesMax / 2) return;
    this.isCongested = false;
    this.link.drained(this);
  }

  private fault(cell: number): number {
    return Atomics.load(this.cells, this.faults.offset + cell);
  }
}
