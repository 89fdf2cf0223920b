import { type ErrorCode, VectronError } from '../base/errors';
import { logIndex, type NodeName, type ReplicaId, type ShardId, term } from '../base/ids';
import { monotonicMs } from '../base/time';
import { type Address, at, lanes, placementActor, replicaActor, supervisorActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { Actor, ActorContext } from '../runtime/actor';
import { Asks } from '../runtime/asks';
import type { MachineRuntime } from '../runtime/node/machine';
import type { ReplicaView, ScannedPoint } from './dev-cluster-types';

type DataReply = MessageOf<'data.statusReply' | 'data.scanned'>;
type OrderReply = MessageOf<'pd.replicaMoving' | 'pd.leaderTransferring'>;
type Reply = DataReply | OrderReply | MessageOf<'supervisor.statusReply' | 'pd.statusReply'>;
const replyKinds: ReadonlySet<string> = new Set<Reply['kind']>([
  'data.statusReply',
  'data.scanned',
  'supervisor.statusReply',
  'pd.statusReply',
  'pd.replicaMoving',
  'pd.leaderTransferring',
]);
const isReply = (message: Message): message is Reply => replyKinds.has(message.kind);

export interface ReplicaPlace {
  readonly shard: ShardId;
  readonly shardIndex: number;
  readonly replica: ReplicaId;
  readonly node: NodeName;
}

const actorName = 'direct-reads';
const askMs = 2_000;
const scanAttemptsMax = 20;
const pagePointsMax = 512;
const noEpoch = { version: 0, confVersion: 0 };

/** Asks replicas and hands their answers to whoever waits. */
class AskingActor implements Actor {
  private readonly asks = new Asks<Reply>();

  started(): void {
    // Waits to be asked.
  }

  ask(to: Address, build: (request: number) => Message, context: ActorContext): Promise<Reply> {
    const request = this.asks.nextRequest();
    context.send(to, build(request), lanes.data);
    const reply = new Promise<Reply>((resolve, reject) => {
      this.asks.open(request, monotonicMs(context.now + askMs), (outcome) =>
        outcome.ok ? resolve(outcome.reply) : reject(outcome.error),
      );
    });
    this.arm(context);
    return reply;
  }

  receive(message: Message): void {
    if (isReply(message)) this.asks.settle(message.request, message);
  }

  signalled(_signal: unknown, context: ActorContext): void {
    this.asks.expire(context.now);
    this.arm(context);
  }

  stopped(): void {
    this.asks.failAll(new VectronError('UNAVAILABLE', 'direct reads have ended'));
  }

  /** For the earliest deadline: a later question must not put off an earlier one's end. */
  private arm(context: ActorContext): void {
    const next = this.asks.nextDeadline();
    if (next !== null) context.setTimer('expire', Math.max(1, next - context.now), { signal: 'timer', key: 'expire' });
  }
}

/** Reads replicas past all routing, as they stand: for the handles of a cluster in this process, never for the wire. */
export class DirectReads {
  private readonly actor = new AskingActor();
  private readonly places = new Map<ReplicaId, ReplicaPlace>();

  constructor(private readonly machine: MachineRuntime) {
    machine.host.spawn(actorName, this.actor);
  }

  /** What the replica says of itself; an empty role if it did not answer. */
  async view(place: ReplicaPlace): Promise<ReplicaView> {
    this.places.set(place.replica, place);
    const silent = {
      role: '',
      term: term(0),
      appliedIndex: logIndex(0),
      commitIndex: logIndex(0),
      points: 0,
      digest: '',
    } as const;
    try {
      const header = { shard: place.shard, epoch: noEpoch, timeoutMs: askMs };
      const reply = await this.askReplica(place, (request) => ({ kind: 'data.status', request, ...header }));
      if (reply.kind !== 'data.statusReply' || reply.failure !== null) return { ...place, ...silent };
      const { role, appliedIndex, commitIndex, points, digest } = reply;
      return { ...place, role, term: reply.term, appliedIndex, commitIndex, points, digest };
    } catch (error) {
      if (error instanceof VectronError && error.retry !== 'never') return { ...place, ...silent };
      throw error;
    }
  }

  /** Every live point of a replica that view() has met, in key order. A page that is lost is asked for again. */
  async *scan(replica: ReplicaId): AsyncIterable<ScannedPoint> {
    const place = this.places.get(replica);
    if (place === undefined) throw new VectronError('NOT_FOUND', `replica ${replica} is not known here`);
    for (let afterId = '', done = false; !done; ) {
      const page = await this.page(place, afterId);
      yield* page.points;
      done = page.done || page.points.length === 0;
      afterId = page.points.at(-1)?.id ?? afterId;
    }
  }

  private async page(place: ReplicaPlace, afterId: string): Promise<MessageOf<'data.scanned'>> {
    for (let attempt = 1; ; attempt++) {
      try {
        const header = { shard: place.shard, epoch: noEpoch, timeoutMs: askMs, afterId, countMax: pagePointsMax };
        const reply = await this.askReplica(place, (request) => ({ kind: 'data.scan', request, ...header }));
        if (reply.kind === 'data.scanned' && reply.failure === null) return reply;
        const { code, message } = reply.failure ?? { code: 'INTERNAL', message: `unexpected ${reply.kind}` };
        throw new VectronError(code as ErrorCode, message);
      } catch (error) {
        if (attempt >= scanAttemptsMax || !(error instanceof VectronError) || error.retry === 'never') throw error;
      }
    }
  }

  /** What a worker runs; null if it did not answer. */
  async worker(node: NodeName): Promise<MessageOf<'supervisor.statusReply'> | null> {
    const reply = await this.askNode(at(node, supervisorActor), (request) => ({ kind: 'supervisor.status', request }));
    return reply?.kind === 'supervisor.statusReply' ? reply : null;
  }

  /** What a node of the placement driver says of itself, leading or not; null if it did not answer. */
  async placement(node: NodeName): Promise<MessageOf<'pd.statusReply'> | null> {
    const reply = await this.askNode(at(node, placementActor), (request) => ({ kind: 'pd.status', request }));
    return reply?.kind === 'pd.statusReply' ? reply : null;
  }

  /** Has the placement driver's leader, one of `nodes`, do it; rejects with what it refuses with. */
  async order(nodes: readonly NodeName[], build: (request: number) => Message): Promise<OrderReply> {
    let last = new VectronError('UNAVAILABLE', 'no node of the placement driver leads');
    for (const node of nodes) {
      const reply = await this.askNode(at(node, placementActor), build);
      if (reply?.kind !== 'pd.replicaMoving' && reply?.kind !== 'pd.leaderTransferring') continue;
      if (reply.failure === null) return reply;
      if (reply.failure.code !== 'NOT_LEADER')
        last = new VectronError(reply.failure.code as ErrorCode, reply.failure.message);
    }
    throw last;
  }

  private async askNode(to: Address, build: (request: number) => Message): Promise<Reply | null> {
    try {
      return await this.ask(to, build);
    } catch (error) {
      if (error instanceof VectronError && error.retry !== 'never') return null;
      throw error;
    }
  }

  private async askReplica(place: ReplicaPlace, build: (request: number) => Message): Promise<DataReply> {
    const reply = await this.ask(at(place.node, replicaActor(place.replica)), build);
    if (reply.kind === 'data.statusReply' || reply.kind === 'data.scanned') return reply;
    throw new VectronError('INTERNAL', `unexpected ${reply.kind}`);
  }

  private ask(to: Address, build: (request: number) => Message): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const isUp = this.machine.host.perform(actorName, (context) => {
        this.actor.ask(to, build, context).then(resolve, reject);
      });
      if (!isUp) reject(new VectronError('UNAVAILABLE', 'direct reads have ended'));
    });
  }
}
