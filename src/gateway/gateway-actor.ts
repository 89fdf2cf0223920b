import { VectronError } from '../base/errors';
import type { ClusterId, NodeName } from '../base/ids';
import { monotonicMs } from '../base/time';
import type { Address } from '../protocol/envelope';
import type { KeyHash } from '../protocol/key-hash';
import type { Message } from '../protocol/messages';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import type { AnswerOf, CallKind, CallOf, Done, GatewayCall } from './calls';
import { GroupCalls, type Reply } from './group-calls';
import { Leaders } from './leaders';
import { changeByFilter } from './operations/by-filter';
import { capacity } from './operations/capacity';
import { collectionStatus, createCollection, deleteCollection, listCollections } from './operations/collections';
import { type Core, WriteKeys } from './operations/core';
import { clusterFlags } from './operations/flags';
import { changeIndex, listIndexes } from './operations/indexes';
import { get, remove, upsert } from './operations/points';
import { search } from './operations/search';
import { searchBatch } from './operations/search-batch';
import { count, scroll } from './operations/select';
import { changeTtl } from './operations/ttl';
import { PlacementLink } from './placement-link';
import { RoutingTable } from './routing-table';
import { Scope } from './scope';

/** How the gateway tells its node's link where workers listen. The same port as the actors'. */
export interface GatewayLinks {
  setPeers(peers: readonly { readonly node: string; readonly address: string }[]): void;
}

export interface GatewayActorOptions {
  readonly cluster: ClusterId;
  readonly placementNodes: readonly NodeName[];
  readonly links: GatewayLinks;
  readonly keyHash: KeyHash;
  /** Bounds memory: calls, and bytes of their points, that are under way at a time. */
  readonly callsMax?: number;
  readonly callBytesMax?: number;
}

const callsMaxDefault = 4_096;
const callBytesMaxDefault = 256 * 1024 * 1024;
const overloadRetryMs = 100;

/** Runs a task as a handler of this actor: ActorHost.perform bound to its name. False: there is no such actor. */
export type Perform = (task: (context: ActorContext) => void) => boolean;

interface Running {
  readonly bytes: number;
  /** It may have had an effect, or may yet have one. */
  readonly changes: boolean;
  readonly fail: (error: VectronError) => void;
}

/**
 * Routes public calls: follows the placement driver's watch stream, sends each call's parts to the replicas that can
 * answer, and puts their answers together. It keeps nothing that is not a cache. Calls come in through submit(), from a
 * handler of the host (see GatewayBridge).
 *
 *  1. Every submitted call gets exactly one outcome: by its deadline, or when the actor ends. One that says that nothing
 *     was applied (class `safe`) is never given to a change that may have been sent.
 *  2. Nothing of a call that fails validation is sent anywhere.
 *  3. A write is acknowledged only when every part of it was.
 *  4. Calls and bytes under way are bounded; what comes beyond is refused at once with RESOURCE_EXHAUSTED.
 */
export class GatewayActor implements Actor {
  private readonly scope = new Scope();
  private readonly table = new RoutingTable();
  private readonly calls = new GroupCalls(this.scope, new Leaders());
  private readonly placement: PlacementLink;
  private readonly writeKeys = new WriteKeys();
  private readonly core: Core;
  private readonly running = new Set<Running>();
  /** How calls end whose turn has not come: the host drops what waits for an actor that ends. */
  private readonly waiting = new Set<() => void>();
  private runningBytes = 0;

  constructor(private readonly options: GatewayActorOptions) {
    const { cluster, placementNodes, links, keyHash } = options;
    this.placement = new PlacementLink(this.scope, this.calls, this.table, cluster, placementNodes, () =>
      links.setPeers(this.table.peers()),
    );
    const { scope, calls, table, placement, writeKeys } = this;
    this.core = { scope, calls, table, placement, writeKeys, keyHash };
  }

  /** Routing is known. */
  get ready(): boolean {
    return this.table.known;
  }

  /** Calls without an outcome, and attempts of theirs without an answer. */
  get openCount(): number {
    return this.waiting.size + this.running.size + this.calls.openCount;
  }

  started(context: ActorContext): void {
    this.writeKeys.begin(context);
    this.scope.run(context, () => this.placement.start());
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    this.scope.run(context, () => {
      if (message.kind === 'pd.watchEvent') this.placement.receive(message, from);
      else if (isReply(message)) this.calls.receive(message, from);
    });
  }

  signalled(signal: Signal, context: ActorContext): void {
    this.scope.run(context, () => {
      if (signal.signal === 'timer') this.scope.fireDue();
    });
  }

  stopped(): void {
    for (const { changes, fail } of [...this.running]) fail(stopping(changes));
    for (const fail of [...this.waiting]) fail();
  }

  /** Has a validated call submitted from outside of all handlers. Its outcome comes also if its turn never does. */
  hand<K extends CallKind>(perform: Perform, call: CallOf<K>, timeoutMs: number, done: Done<AnswerOf<K>>): void {
    const fail = (): void => {
      if (this.waiting.delete(fail)) done({ ok: false, error: stopping(false) });
    };
    this.waiting.add(fail);
    const taken = perform((context) => {
      if (this.waiting.delete(fail)) this.submit(context, call, timeoutMs, done);
    });
    if (!taken) fail();
  }

  /** Starts a validated call; `done` hears of it within `timeoutMs`, possibly before this returns. */
  submit<K extends CallKind>(context: ActorContext, call: CallOf<K>, timeoutMs: number, done: Done<AnswerOf<K>>): void {
    // Both follow from K being one of the kinds; the compiler cannot see it through the type parameter.
    const one = call as unknown as GatewayCall;
    const bytes = bytesOf(one);
    if (this.isFull(bytes)) {
      const error = new VectronError('RESOURCE_EXHAUSTED', 'too many calls under way', {
        retryAfterMs: overloadRetryMs,
      });
      done({ ok: false, error });
      return;
    }
    const once = this.track(bytes, changing.has(one.kind), done);
    this.scope.run(context, () => this.start(one, timeoutMs, once as Done<unknown>));
  }

  private isFull(bytes: number): boolean {
    const { callsMax = callsMaxDefault, callBytesMax = callBytesMaxDefault } = this.options;
    return this.running.size >= callsMax || (this.running.size > 0 && this.runningBytes + bytes > callBytesMax);
  }

  private track<T>(bytes: number, changes: boolean, done: Done<T>): Done<T> {
    const once: Done<T> = (outcome) => {
      if (!this.running.delete(entry)) return;
      this.runningBytes -= bytes;
      done(outcome);
    };
    const entry: Running = { bytes, changes, fail: (error) => once({ ok: false, error }) };
    this.running.add(entry);
    this.runningBytes += bytes;
    return once;
  }

  private start(call: GatewayCall, timeoutMs: number, done: Done<unknown>): void {
    const { core } = this;
    const until = monotonicMs(this.scope.now + timeoutMs);
    if (call.kind === 'upsert') upsert(core, call, until, done);
    else if (call.kind === 'search') search(core, call, until, done);
    else if (call.kind === 'searchBatch') searchBatch(core, call, until, done);
    else if (call.kind === 'count') count(core, call, until, done);
    else if (call.kind === 'scroll') scroll(core, call, until, done);
    else if (call.kind === 'get') get(core, call, until, done);
    else if (call.kind === 'delete') remove(core, call, until, done);
    else if (call.kind === 'deleteByFilter' || call.kind === 'setPayloadByFilter')
      changeByFilter(core, call, until, done);
    else if (call.kind === 'createCollection') createCollection(core, call, until, done);
    else if (call.kind === 'deleteCollection') deleteCollection(core, call, until, done);
    else if (call.kind === 'flags') clusterFlags(core, until, done);
    else if (call.kind === 'listCollections') listCollections(core, until, done);
    else if (call.kind === 'capacity') capacity(core, call, until, done);
    else if (call.kind === 'changeIndex') changeIndex(core, call, until, done);
    else if (call.kind === 'changeTtl') changeTtl(core, call, until, done);
    else if (call.kind === 'listIndexes') listIndexes(core, call.collection, until, done);
    else collectionStatus(core, call, until, done);
  }
}

const changing: ReadonlySet<CallKind> = new Set<CallKind>([
  ...(['upsert', 'delete', 'createCollection', 'deleteCollection', 'changeIndex', 'changeTtl'] as const),
  ...(['deleteByFilter', 'setPayloadByFilter'] as const),
]);

/** What was sent of a change cannot be taken back: only a read may be called untouched. */
function stopping(changes: boolean): VectronError {
  if (changes) return new VectronError('OUTCOME_UNKNOWN', 'the gateway stopped before the outcome was known');
  return new VectronError('UNAVAILABLE', 'the gateway is stopping', { retryAfterMs: 1_000 });
}

const isReply = (message: Message): message is Reply => 'failure' in message && 'request' in message;

function bytesOf(call: GatewayCall): number {
  if (call.kind === 'searchBatch') return call.searches.reduce((sum, { call: one }) => sum + one.vector.length, 0);
  if (call.kind !== 'upsert') return 0;
  return call.points.reduce((sum, point) => sum + point.vector.length + point.payload.length, 0);
}
