import {
  clusterId,
  collectionId,
  keyHash64,
  logIndex,
  type NodeName,
  nodeName,
  replicaId,
  revision,
  type ShardId,
  shardId,
  term,
  workerId,
} from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { monotonicMs, wallMs } from '../../src/base/time';
import type { AnswerOf, CallKind, CallOf, Outcome } from '../../src/gateway/calls';
import { GatewayActor } from '../../src/gateway/gateway-actor';
import { type Failure, noFigures } from '../../src/protocol/data-messages';
import { type Address, at, gatewayActor, lanes, placementActor, replicaActor } from '../../src/protocol/envelope';
import { sameEpoch } from '../../src/protocol/ids';
import { inRange, tile } from '../../src/protocol/key-hash';
import type { Message, MessageOf } from '../../src/protocol/messages';
import type { LeaderHint, PlacementChange } from '../../src/protocol/placement-messages';
import { type CollectionRecord, defaultStorage, type ShardRecord } from '../../src/protocol/records';
import { ActorHost } from '../../src/runtime/actor-host';
import { failure, refusalOf } from '../../src/runtime/refusal';
import { type FakeShard, queried, rank, selected, testHash, write } from './fake-shard';

export { type FakeShard, pointsOf, rank, testHash, vector } from './fake-shard';

export interface Sent {
  readonly atMs: number;
  readonly to: Address;
  readonly message: Message;
}

const machines = ['machine-1', 'machine-2', 'machine-3'].map(nodeName);
const placementNodes = ['pd-1', 'pd-2', 'pd-3'].map(nodeName);
const gatewayNode = nodeName('gateway-1');
const cluster = clusterId('test');

/**
 * A gateway's actor on virtual time, before shards and a placement driver that are plain objects: they keep the protocol's
 * promises and nothing else, so that a test can break one promise at a time.
 */
export class FakeCluster {
  nowMs = 0;
  readonly sent: Sent[] = [];
  readonly shards = new Map<ShardId, FakeShard>();
  readonly collections = new Map<string, CollectionRecord>();
  readonly down = new Set<NodeName>();
  /** True: the message, or its answer, is lost. */
  loses: (message: Message, to: Address) => boolean = () => false;
  /** What a member says before it looks at the request; null: nothing. */
  refuses: (message: Message, to: Address) => Failure | null = () => null;
  placementLeader = 0;
  revision = 1;
  /** Of the placement driver's history; 0: not drawn yet. */
  incarnation = 0;
  peers: readonly { readonly node: string; readonly address: string }[] = [];
  readonly actor: GatewayActor;
  readonly host: ActorHost;
  /** How long after a change of it every shard knows how long points live. */
  settlesTtlAfterMs = 0;
  private readonly ttls = new Map<string, { readonly ttlMs: number; readonly settledMs: number }>();
  private readonly events: { atMs: number; order: number; run: () => void }[] = [];
  private order = 0;
  private nextId = 1;
  readonly random: Prng;

  constructor(seed = 1, limits: { readonly callsMax?: number; readonly callBytesMax?: number } = {}) {
    this.random = new Prng(seed);
    this.actor = new GatewayActor({
      cluster,
      placementNodes,
      links: {
        setPeers: (peers) => {
          this.peers = peers;
        },
      },
      keyHash: testHash,
      ...limits,
    });
    this.host = new ActorHost({
      node: gatewayNode,
      clock: { now: () => monotonicMs(this.nowMs), wall: () => wallMs(this.nowMs) },
      random: new Prng(seed + 1),
      outbound: (to, _from, message) => this.carry(to, message),
      onEnded: (_address, _reason, error) => {
        if (error !== null) throw error;
      },
    });
    this.host.spawn(gatewayActor, this.actor);
  }

  /** A collection whose shards each have a leader, known to the placement driver. */
  addCollection(name: string, shardCount: number, fields: Partial<CollectionRecord> = {}): FakeShard[] {
    const id = collectionId(this.nextId++);
    const shards = tile(shardCount).map((range) => this.addShard(id, range));
    this.collections.set(name, {
      id,
      name,
      dimension: 2,
      metric: 'dot',
      hnsw: { m: 16, efConstruction: 200 },
      storage: defaultStorage,
      replicationFactor: 3,
      shardIds: shards.map(({ record }) => record.id),
      ...fields,
    });
    this.revision++;
    return shards;
  }

  addShard(collection: CollectionRecord['id'], range: ShardRecord['range']): FakeShard {
    const id = shardId(this.nextId++);
    const members = machines.map((node, i) => ({ replica: replicaId(this.nextId++), worker: workerId(i + 1), node }));
    const record = { id, collection, range, epoch: { version: 1, confVersion: 1 }, members };
    const shard: FakeShard = { record, leader: 0, points: new Map(), retired: false, linksAfterMs: 0 };
    this.shards.set(id, shard);
    return shard;
  }

  /** Two children take the shard's range and points; the parent answers STALE_SHARD from then on. */
  split(parent: FakeShard): FakeShard[] {
    const { range, collection } = parent.record;
    const middle = (range.start + range.end) / 2n;
    const halves = [
      { start: range.start, end: keyHash64(middle) },
      { start: keyHash64(middle + 1n), end: range.end },
    ];
    const children = halves.map((half) => this.addShard(collection, half));
    for (const child of children) {
      for (const [id, point] of parent.points)
        if (inRange(child.record.range, testHash(id))) child.points.set(id, point);
    }
    parent.record = { ...parent.record, epoch: { ...parent.record.epoch, version: 2 } };
    parent.retired = true;
    this.revision++;
    return children;
  }

  submit<K extends CallKind>(call: CallOf<K>, timeoutMs: number, done: (outcome: Outcome<AnswerOf<K>>) => void): void {
    this.host.perform(gatewayActor, (context) => this.actor.submit(context, call, timeoutMs, done));
  }

  /** Runs virtual time until the call has its outcome; throws if that is later than its deadline. */
  outcome<K extends CallKind>(call: CallOf<K>, timeoutMs = 5_000): Outcome<AnswerOf<K>> {
    let outcome: Outcome<AnswerOf<K>> | null = null;
    this.submit(call, timeoutMs, (value) => {
      if (outcome !== null) throw new Error(`two outcomes of ${call.kind}`);
      outcome = value;
    });
    this.runUntil(this.nowMs + timeoutMs + 1, () => outcome !== null);
    if (outcome === null) throw new Error(`${call.kind} has no outcome at its deadline`);
    return outcome;
  }

  answer<K extends CallKind>(call: CallOf<K>, timeoutMs = 5_000): AnswerOf<K> {
    const outcome = this.outcome(call, timeoutMs);
    if (!outcome.ok) throw outcome.error;
    return outcome.answer;
  }

  runUntil(untilMs: number, done: () => boolean = () => false): void {
    for (;;) {
      while (this.host.run(Number.POSITIVE_INFINITY) && !done());
      if (done()) return;
      const due = this.host.nextDue() ?? Number.POSITIVE_INFINITY;
      const next = Math.min(due, this.events[0]?.atMs ?? Number.POSITIVE_INFINITY);
      if (next > untilMs) {
        this.nowMs = untilMs;
        return;
      }
      this.nowMs = Math.max(this.nowMs, next);
      for (let event = this.events[0]; event !== undefined && event.atMs <= this.nowMs; event = this.events[0]) {
        this.events.shift();
        event.run();
      }
    }
  }

  schedule(delayMs: number, run: () => void): void {
    this.events.push({ atMs: this.nowMs + delayMs, order: this.order++, run });
    this.events.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
  }

  /** Messages of one kind that the gateway has sent. */
  sentOf<K extends Message['kind']>(
    kind: K,
  ): { readonly atMs: number; readonly to: Address; readonly message: MessageOf<K> }[] {
    return this.sent.filter(({ message }) => message.kind === kind) as never;
  }

  /** The place in a write of a point whose condition does not hold; null: none. */
  conflict: (message: MessageOf<'data.write'>) => number | null = () => null;

  private carry(to: Address, message: Message): void {
    this.sent.push({ atMs: this.nowMs, to, message });
    if (this.loses(message, to)) return;
    this.schedule(1, () => {
      if (this.down.has(to.node)) return;
      const refused = this.refuses(message, to);
      const reply = refused === null ? this.handle(message, to) : refusalOf(message, refused);
      if (reply !== null && !this.loses(reply, to)) this.deliver(to, reply, 1);
    });
  }

  deliver(from: Address, message: Message, delayMs: number): void {
    this.schedule(delayMs, () => this.host.deliver(at(gatewayNode, gatewayActor), from, message, lanes.completion));
  }

  private handle(message: Message, to: Address): Message | null {
    if (to.actor === placementActor) return this.placement(message, to);
    if (!('shard' in message)) return null;
    const shard = this.shards.get(message.shard as ShardId);
    const at = shard?.record.members.findIndex(({ replica }) => replicaActor(replica) === to.actor) ?? -1;
    return shard === undefined || at < 0 ? null : this.replica(shard, at, message as ShardRequest);
  }

  private replica(shard: FakeShard, at: number, message: ShardRequest): Message | null {
    if (message.kind === 'data.status') return this.status(shard, at, message);
    const refused = this.refusalOf(shard, at, message);
    if (refused !== null) return refusalOf(message, refused);
    const header = { request: message.request, shard: message.shard, failure: null };
    if (message.kind === 'data.write') {
      const at = this.conflict(message);
      if (at !== null) {
        const failed = refusalOf(message, failure('FAILED_PRECONDITION', 'no')) as MessageOf<'data.written'>;
        return { ...failed, conflict: { position: at, version: 7 } };
      }
      const effect = { index: logIndex(1), affected: write(shard, message), versions: [], previous: [] };
      return { kind: 'data.written', ...header, ...effect, previousOmitted: 0, replayed: false, conflict: null };
    }
    if (message.kind === 'data.get') {
      const found = message.ids.map((id) => shard.points.get(id)).filter((point) => point !== undefined);
      const points = found.map((point) => ({ ...point, version: 1 }));
      return { kind: 'data.got', ...header, points, appliedIndex: logIndex(1), ageMs: null };
    }
    if (message.kind === 'data.select') return { ...header, ...selected(shard, message) };
    if (message.kind === 'data.query' || message.kind === 'data.tunedQuery')
      return { ...header, ...queried(shard, message) };
    const hits = rank([...shard.points.values()], message.vector, message.k);
    const stats = { strategy: 'scan' as const, distances: shard.points.size, points: shard.points.size };
    return { kind: 'data.found', ...header, hits, stats, appliedIndex: logIndex(1), ageMs: null };
  }

  private refusalOf(shard: FakeShard, at: number, message: ShardRequest): Failure | null {
    const needsLeader = message.kind === 'data.write' || (message.kind !== 'data.status' && message.level === 'leader');
    if (needsLeader && shard.leader !== at) {
      const leader = shard.leader === null ? '' : (shard.record.members[shard.leader]?.node ?? '');
      return { ...failure('NOT_LEADER', 'not me'), leader };
    }
    if (sameEpoch(message.epoch, shard.record.epoch)) return null;
    return { ...failure('STALE_SHARD', 'another epoch'), epoch: shard.record.epoch };
  }

  private status(shard: FakeShard, at: number, { request, shard: id }: MessageOf<'data.status'>): Message {
    const { members } = shard.record;
    return {
      kind: 'data.statusReply',
      ...{ request, shard: id, failure: null },
      replica: members[at]?.replica ?? replicaId(0),
      node: members[at]?.node ?? nodeName(''),
      role: shard.leader === at ? 'leader' : 'follower',
      term: term(1),
      leader: shard.leader === null ? replicaId(0) : (members[shard.leader]?.replica ?? replicaId(0)),
      ...{ appliedIndex: logIndex(1), commitIndex: logIndex(1) },
      ...{ points: shard.points.size, unlinked: 0, index: noFigures, digest: '' },
    };
  }

  private placement(message: Message, to: Address): Message | null {
    if (to.node !== placementNodes[this.placementLeader]) {
      const leader = placementNodes[this.placementLeader] ?? '';
      return refusalOf(message, { ...failure('NOT_LEADER', 'not me'), leader });
    }
    if (message.kind === 'pd.watch') return this.watchEvent(message.request);
    if (message.kind === 'pd.createCollection' || message.kind === 'pd.createMortal') return this.create(message);
    if (message.kind === 'pd.changeTtl' || message.kind === 'pd.getTtl') return this.ttl(message);
    if (message.kind !== 'pd.deleteCollection') return null;
    const gone = this.collections.get(message.name);
    if (gone === undefined) return refusalOf(message, { ...failure('NOT_FOUND', 'no such collection'), field: 'name' });
    this.collections.delete(message.name);
    for (const id of gone.shardIds) this.shards.delete(id);
    const { request } = message;
    return { kind: 'pd.collectionDeleted', request, failure: null, revision: revision(++this.revision) };
  }

  private ttl(message: MessageOf<'pd.changeTtl' | 'pd.getTtl'>): Message | null {
    const { request, name } = message;
    const found = this.collections.get(name);
    if (found === undefined)
      return refusalOf(message, { ...failure('NOT_FOUND', 'no such collection'), field: 'name' });
    if (message.kind === 'pd.changeTtl') this.setTtl(name, message.ttlMs);
    const { ttlMs, settledMs } = this.ttls.get(name) ?? { ttlMs: 0, settledMs: 0 };
    const settled = settledMs <= this.nowMs;
    const at = { collection: found.id, revision: revision(this.revision) };
    return { kind: 'pd.ttl', request, failure: null, ttlMs, settled, ...at };
  }

  private setTtl(name: string, ttlMs: number): void {
    this.ttls.set(name, { ttlMs, settledMs: this.nowMs + this.settlesTtlAfterMs });
  }

  private create(message: MessageOf<'pd.createCollection' | 'pd.createMortal'>): Message | null {
    if (this.collections.has(message.name)) {
      return refusalOf(message, { ...failure('ALREADY_EXISTS', 'it exists'), field: 'name' });
    }
    const { request, name, dimension, metric, hnsw, replicationFactor, storage } = message;
    for (const shard of this.addCollection(name, message.shardCount, {
      dimension,
      metric,
      hnsw,
      replicationFactor,
      storage,
    })) {
      shard.leader = null;
      this.schedule(300, () => {
        shard.leader = 1;
      });
    }
    if (message.kind === 'pd.createMortal') this.setTtl(name, message.ttlMs);
    const collection = this.collections.get(name) ?? null;
    return { kind: 'pd.collectionCreated', request, failure: null, collection, revision: revision(this.revision) };
  }

  watchEvent(request: number, leaders: readonly LeaderHint[] = []): MessageOf<'pd.watchEvent'> {
    const change: PlacementChange = {
      cluster,
      incarnation: this.incarnation,
      fromRevision: revision(0),
      revision: revision(this.revision),
      full: true,
      workers: machines.map((node, i) => ({
        id: workerId(i + 1),
        node,
        address: `${node}:1`,
        ...{ zone: '', rack: '', storeIncarnation: 'x', state: 'ready' as const },
      })),
      collections: [...this.collections.values()],
      collectionsDeleted: [],
      shards: [...this.shards.values()].filter(({ retired }) => !retired).map(({ record }) => record),
      shardsRetired: [],
      removals: [],
    };
    return { kind: 'pd.watchEvent', request, failure: null, term: term(1), change, leaders };
  }
}

type ShardRequest = MessageOf<
  'data.write' | 'data.search' | 'data.get' | 'data.select' | 'data.query' | 'data.tunedQuery' | 'data.status'
>;
