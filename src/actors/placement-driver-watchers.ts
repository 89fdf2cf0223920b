import type { Revision, Term, WorkerId } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import type { PlacementMachine } from '../placement/machine';
import { type Address, addressText, lanes } from '../protocol/envelope';
import type { MessageOf } from '../protocol/messages';
import type { LeaderHint, PlacementChange } from '../protocol/placement-messages';
import type { ActorContext } from '../runtime/actor';

interface Watcher {
  readonly address: Address;
  /** Of its latest renewal; events carry it. */
  readonly request: number;
  readonly worker: WorkerId;
  readonly expiresAt: MonotonicMs;
  /** Everything up to here is on its way to the watcher. */
  sent: Revision;
}

export const watchersMax = 16_384;

/**
 * The streams of changes to workers and gateways. Owned by the leading placement driver, and empty elsewhere.
 *
 *  1. Each event says which revision it continues from, so a watcher that lost one notices; its next renewal says where
 *     it stands, and the stream goes on from there.
 *  2. Who does not renew within `expiryMs` is dropped.
 *  3. Leader hints go to gateways only, and leave the revision as it is.
 */
export class Watchers {
  private readonly watchers = new Map<string, Watcher>();

  constructor(
    private readonly expiryMs: number,
    private readonly termOf: () => Term,
  ) {}

  get count(): number {
    return this.watchers.size;
  }

  /** False: there are too many. `fromRevision` must not be ahead of the machine. */
  renew(
    { request, worker, fromRevision }: MessageOf<'pd.watch'>,
    address: Address,
    machine: PlacementMachine,
    leaders: readonly LeaderHint[],
    context: ActorContext,
  ): boolean {
    const key = addressText(address);
    if (!this.watchers.has(key) && this.watchers.size >= watchersMax) return false;
    const expiresAt = (context.now + this.expiryMs) as MonotonicMs;
    const watcher = { address, request, worker, expiresAt, sent: fromRevision };
    this.watchers.set(key, watcher);
    this.send(watcher, machine, worker === 0 ? leaders : [], context);
    return true;
  }

  /** Sends what is new to everybody. */
  publish(machine: PlacementMachine, context: ActorContext): void {
    for (const watcher of this.watchers.values()) {
      if (watcher.sent < machine.revision) this.send(watcher, machine, [], context);
    }
  }

  publishLeaders(leaders: readonly LeaderHint[], machine: PlacementMachine, context: ActorContext): void {
    if (leaders.length === 0) return;
    for (const watcher of this.watchers.values()) {
      if (watcher.worker === 0) this.send(watcher, machine, leaders, context);
    }
  }

  expire(now: MonotonicMs): void {
    for (const [key, { expiresAt }] of this.watchers) if (expiresAt <= now) this.watchers.delete(key);
  }

  clear(): void {
    this.watchers.clear();
  }

  private send(
    watcher: Watcher,
    machine: PlacementMachine,
    leaders: readonly LeaderHint[],
    context: ActorContext,
  ): void {
    const { address, request, worker, sent } = watcher;
    const change: PlacementChange = machine.changesSince(sent, worker);
    watcher.sent = machine.revision;
    const event = { kind: 'pd.watchEvent', request, failure: null, term: this.termOf(), change, leaders } as const;
    context.send(address, event, lanes.completion);
  }
}
