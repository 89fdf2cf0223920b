import { VectronError } from '../base/errors';
import { type ClusterId, type NodeName, workerId } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import { type Address, at, placementActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { ShardRecord } from '../protocol/records';
import type { GroupCalls, GroupOutcome } from './group-calls';
import { memberAddress, type RoutingTable } from './routing-table';
import type { Scope, Timer } from './scope';

const placementGroup = 'placement driver';
export const shardGroup = (shard: ShardRecord): string => `shard ${shard.id}`;

const renewMs = 2_000;
const answerMs = 750;
const retryMs = 150;
const askAttemptMs = 1_000;

type Refreshed = (error: VectronError | null) => void;
interface Waiter {
  readonly then: Refreshed;
  readonly timer: Timer;
}

/**
 * The gateway's line to the placement driver: the watch stream that feeds the routing table, and requests. Owned by the
 * gateway's actor.
 *
 *  1. One watch request waits for its answer at a time; without one in time the next node is asked.
 *  2. refresh() answers when the placement driver has told all that it knew at some moment after the call, or says that
 *     it does not answer. Callers that come while a request is under way share the next one.
 *  3. It follows one history: of a driver of another cluster, or one that started from nothing again, it takes no word
 *     (DESIGN D8). Such a driver gives ids away a second time, and its routes would lead to other shards' replicas.
 */
export class PlacementLink {
  private readonly nodes: readonly Address[];
  private node = 0;
  private watchRequest = 0;
  private watchPending = false;
  private timer: Timer | null = null;
  private lastRefusal = '';
  /** Of the driver that is followed; 0: none has said so yet. */
  private incarnation = 0;
  private sharing = new Set<Waiter>();
  private queued = new Set<Waiter>();

  constructor(
    private readonly scope: Scope,
    private readonly calls: GroupCalls,
    private readonly table: RoutingTable,
    private readonly cluster: ClusterId,
    nodes: readonly NodeName[],
    private readonly onChanged: () => void,
  ) {
    this.nodes = nodes.map((node) => at(node, placementActor));
  }

  start(): void {
    this.watch();
  }

  /** `then(null)`: the table is as fresh as this call. */
  refresh(waitMs: number, then: Refreshed): void {
    const waiter: Waiter = {
      then,
      timer: this.scope.after(waitMs, () => {
        this.sharing.delete(waiter);
        this.queued.delete(waiter);
        const why = `the placement driver does not answer${this.lastRefusal}`;
        then(new VectronError('UNAVAILABLE', why, { retryAfterMs: 500 }));
      }),
    };
    this.queued.add(waiter);
    if (!this.watchPending) this.watch();
  }

  /** Asks the placement driver's leader. */
  ask(until: MonotonicMs, message: (request: number) => Message, done: (outcome: GroupOutcome) => void): void {
    this.calls.start({
      group: placementGroup,
      ask: 'leader',
      until,
      attemptMs: askAttemptMs,
      members: () => this.nodes,
      message,
      learn: () => false,
      done,
    });
  }

  receive(event: MessageOf<'pd.watchEvent'>, from: Address): void {
    const answered = this.watchPending && event.request === this.watchRequest;
    if (event.failure !== null) {
      if (!answered) return;
      this.lastRefusal = `: ${event.failure.message}`;
      this.retry(event.failure.leader);
      return;
    }
    if (event.change.cluster !== this.cluster) return;
    if (this.isStranger(event.change.incarnation)) {
      this.lastRefusal = ': one that started from nothing was refused';
      if (answered) this.retry('');
      return;
    }
    this.calls.reportLeader(placementGroup, from, event.term);
    const applied = this.table.apply(event.change);
    this.learnLeaders(event);
    if (applied === 'applied') this.onChanged();
    if (answered) this.settle();
    if (applied === 'gap' && !this.watchPending) this.watch();
  }

  private isStranger(incarnation: number): boolean {
    if (this.incarnation === 0) this.incarnation = incarnation;
    return incarnation !== this.incarnation;
  }

  private watch(): void {
    for (const waiter of this.queued) this.sharing.add(waiter);
    this.queued.clear();
    this.watchPending = true;
    this.watchRequest = this.calls.nextRequest();
    this.scope.send(this.nodes[this.node] as Address, {
      kind: 'pd.watch',
      request: this.watchRequest,
      cluster: this.cluster,
      worker: workerId(0),
      fromRevision: this.table.revision,
    });
    this.schedule(answerMs, () => this.retry(''));
  }

  /** The node asked does not lead, or does not answer. */
  private retry(hint: string): void {
    const named = this.nodes.findIndex(({ node }) => node === hint);
    const redirected = named >= 0 && named !== this.node;
    this.node = redirected ? named : (this.node + 1) % this.nodes.length;
    this.schedule(redirected ? 0 : retryMs, () => this.watch());
  }

  private settle(): void {
    this.watchPending = false;
    this.lastRefusal = '';
    const waiters = [...this.sharing];
    this.sharing.clear();
    this.schedule(renewMs, () => this.watch());
    for (const waiter of waiters) {
      this.scope.cancel(waiter.timer);
      waiter.then(null);
    }
    if (this.queued.size > 0 && !this.watchPending) this.watch();
  }

  private learnLeaders(event: MessageOf<'pd.watchEvent'>): void {
    for (const { shard, leader, term } of event.leaders) {
      const record = this.table.shard(shard);
      const member = record?.members.find((candidate) => candidate.replica === leader);
      if (record === undefined || member === undefined) continue;
      this.calls.reportLeader(shardGroup(record), memberAddress(member), term);
    }
  }

  private schedule(delayMs: number, then: () => void): void {
    if (this.timer !== null) this.scope.cancel(this.timer);
    this.timer = this.scope.after(delayMs, then);
  }
}
