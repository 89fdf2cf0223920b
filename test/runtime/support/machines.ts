import { join } from 'node:path';
import { clusterId, nodeName } from '../../../src/base/ids';
import { monotonicMs } from '../../../src/base/time';
import { type Address, at, type Lane, lanes } from '../../../src/protocol/envelope';
import type { Message, MessageOf } from '../../../src/protocol/messages';
import type { Actor, ActorContext, Signal } from '../../../src/runtime/actor';
import { Asks } from '../../../src/runtime/asks';
import { type MachineOptions, MachineRuntime } from '../../../src/runtime/node/machine';
import type { GossipData } from './gossip';
import { describeGossip } from './gossip';

export const poolEntry = join(__dirname, 'gossip-pool-thread.js');
export const dedicatedEntry = join(__dirname, 'gossip-thread.js');

type Status = MessageOf<'pd.statusReply'>;

/** Asks other actors from the main thread of a machine, for tests. */
export class Prober implements Actor {
  private readonly asks = new Asks<Status>();

  constructor(private readonly machine: TestMachine) {}

  /** Null: no answer in time. A refusal is an answer. */
  ask(to: Address, waitMs = 200, message?: Message, lane: Lane = lanes.data): Promise<Status | null> {
    return new Promise((resolve) => {
      this.machine.runtime.host.perform('prober', (context) => {
        const request = this.asks.nextRequest();
        const deadline = monotonicMs(context.now + waitMs);
        this.asks.open(request, deadline, (outcome) => resolve(outcome.ok ? outcome.reply : null));
        context.send(to, { ...(message ?? { kind: 'pd.status' }), request } as Message, lane);
        context.setTimer(`ask ${request}`, waitMs + 1, { signal: 'timer', key: '' });
      });
    });
  }

  /** Asks until it is answered without a refusal. */
  async reach(to: Address, deadlineMs = 10_000): Promise<Status> {
    const until = performance.now() + deadlineMs;
    while (performance.now() < until) {
      const status = await this.ask(to);
      if (status !== null && status.failure === null) return status;
      await pause(5);
    }
    throw new Error(`${to.node}/${to.actor} did not answer in ${deadlineMs} ms`);
  }

  readonly started = (): undefined => undefined;
  readonly stopped = (): undefined => undefined;

  receive(message: Message): void {
    if (message.kind === 'pd.statusReply') this.asks.settle(message.request, message);
  }

  signalled(_signal: Signal, context: ActorContext): void {
    this.asks.expire(context.now);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what: string, condition: () => boolean, deadlineMs = 10_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not in ${deadlineMs} ms: ${what}`);
    await pause(2);
  }
}

export type TestMachineOptions = Partial<Omit<MachineOptions, 'node' | 'shards' | 'dedicated'>> & {
  readonly threads?: number;
  readonly silentMsMax?: number;
  readonly log?: readonly string[] | null;
};

/** A machine of gossips: supervision restarts every pool actor at once. */
export class TestMachine {
  readonly node;
  readonly runtime: MachineRuntime;
  readonly prober: Prober;
  readonly ends: { name: string; reason: string }[] = [];
  readonly problems: string[] = [];
  readonly data: GossipData = { incarnations: new SharedArrayBuffer(4) };
  private readonly wanted = new Map<string, Uint8Array>();

  constructor(name: string, options: TestMachineOptions = {}) {
    this.node = nodeName(name);
    const friends = options.log ?? null;
    this.runtime = new MachineRuntime({
      node: this.node,
      cluster: clusterId('test'),
      link: { kind: 'none' },
      linkThread: false,
      dedicated:
        friends === null
          ? []
          : [
              {
                name: 'log',
                entryFile: dedicatedEntry,
                workerData: this.data,
                actors: [{ name: 'log', descriptor: describeGossip({ friends }) }],
              },
            ],
      shards:
        options.threads === undefined
          ? null
          : {
              entryFile: poolEntry,
              threads: options.threads,
              workerData: this.data,
              backoff: { firstMs: 5, delayMsMax: 50, jitter: 0.5 },
              ...(options.silentMsMax === undefined ? {} : { silentMsMax: options.silentMsMax }),
            },
      onMainActorEnded: ({ actor }, reason) => this.ends.push({ name: actor, reason }),
      onShardActorEnded: (actor, reason) => this.restart(actor, reason),
      onThreadDown: (what, reason) => this.ends.push({ name: what, reason }),
      onProblem: (what, error) => this.problems.push(`${what}: ${String(error)}`),
      ...options,
    });
    this.prober = new Prober(this);
  }

  async start(): Promise<this> {
    await this.runtime.start();
    this.runtime.host.spawn('prober', this.prober);
    return this;
  }

  want(name: string, descriptor: Uint8Array): void {
    this.wanted.set(name, descriptor);
    this.runtime.startShardActor(name, descriptor);
  }

  address(actor: string): Address {
    return at(this.node, actor);
  }

  private restart(name: string, reason: string): void {
    this.ends.push({ name, reason });
    const descriptor = this.wanted.get(name);
    if (descriptor !== undefined) this.runtime.startShardActor(name, descriptor);
  }
}
