import { type NodeName, nodeName } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { type MonotonicMs, monotonicMs, wallMs } from '../../src/base/time';
import { decode, encode } from '../../src/protocol/codec';
import type { Address, Lane } from '../../src/protocol/envelope';
import { type Message, messageCodec } from '../../src/protocol/messages';
import type { Actor } from '../../src/runtime/actor';
import { ActorHost } from '../../src/runtime/actor-host';

interface Flying {
  readonly dueMs: number;
  readonly to: Address;
  readonly from: Address;
  readonly bytes: Uint8Array;
  readonly lane: Lane;
}

const hopMs = 1;

/** Nodes on virtual time with one thread each; a message between them takes a millisecond and travels encoded. */
export class VirtualNodes {
  nowMs = 1_000;
  /** Errors that handlers threw; a test that expects none checks this. */
  readonly thrown: unknown[] = [];
  /** Loses the messages it returns true for. */
  lose: (to: Address, from: Address, message: Message) => boolean = () => false;
  private readonly hosts = new Map<NodeName, ActorHost>();
  private flying: Flying[] = [];
  private readonly random: Prng;

  constructor(seed: number) {
    this.random = new Prng(seed);
  }

  host(name: string): ActorHost {
    const node = nodeName(name);
    const existing = this.hosts.get(node);
    if (existing !== undefined) return existing;
    const now = (): MonotonicMs => monotonicMs(this.nowMs);
    const host = new ActorHost({
      node,
      clock: { now, wall: () => wallMs(this.nowMs) },
      random: this.random.fork(),
      outbound: (to, from, message, lane) => this.transmit(to, from, message, lane),
      onEnded: (_address, _reason, error) => {
        if (error !== null) this.thrown.push(error);
      },
    });
    this.hosts.set(node, host);
    return host;
  }

  spawn(node: string, name: string, actor: Actor): void {
    this.host(node).spawn(name, actor);
  }

  /** The node and what it was about to do are gone; a host of the same name may follow. */
  kill(name: string): void {
    this.hosts.delete(nodeName(name));
  }

  /** Until `done`, at most `timeoutMs` of virtual time; false when it ran out. */
  run(timeoutMs: number, done: () => boolean = () => false): boolean {
    const untilMs = this.nowMs + timeoutMs;
    for (;;) {
      this.settle();
      if (done()) return true;
      const nextMs = this.nextMs();
      if (nextMs > untilMs) {
        this.nowMs = untilMs;
        return false;
      }
      this.nowMs = Math.max(this.nowMs, nextMs);
    }
  }

  private settle(): void {
    const due = this.flying.filter((one) => one.dueMs <= this.nowMs);
    this.flying = this.flying.filter((one) => one.dueMs > this.nowMs);
    for (const { to, from, bytes, lane } of due) {
      this.hosts.get(to.node)?.deliver(to, from, decode(messageCodec, bytes), lane);
    }
    for (const host of [...this.hosts.values()]) while (host.run(1_000));
  }

  private nextMs(): number {
    const timers = [...this.hosts.values()].map((host) => host.nextDue() ?? Number.POSITIVE_INFINITY);
    return Math.min(...timers, ...this.flying.map((one) => one.dueMs));
  }

  private transmit(to: Address, from: Address, message: Message, lane: Lane): void {
    if (this.lose(to, from, message)) return;
    this.flying.push({ dueMs: this.nowMs + hopMs, to, from, bytes: encode(messageCodec, message), lane });
  }
}
