import { type ClusterId, type ReplicaId, type Revision, replicaId, revision, term } from '../../src/base/ids';
import type { PlacementOperation } from '../../src/placement/commands';
import { PlacementMachine } from '../../src/placement/machine';
import { type Address, lanes } from '../../src/protocol/envelope';
import type { Message, MessageOf } from '../../src/protocol/messages';
import type { Actor, ActorContext } from '../../src/runtime/actor';
import { failure, refusalOf } from '../../src/runtime/refusal';
import { commandOf } from '../placement/generate';

interface Watcher {
  readonly message: MessageOf<'pd.watch'>;
  readonly from: Address;
  sent: Revision;
}

/** A placement driver of one node without Raft: a machine, a term, and whatever a test wants it to get wrong. */
export class FakeDriver implements Actor {
  machine: PlacementMachine;
  term = term(1);
  leading = true;
  readonly heartbeats: MessageOf<'pd.heartbeat'>[] = [];
  supportsHeard = 0;
  /** What it sent, in this order. */
  readonly told: Message[] = [];
  private readonly watchers = new Map<string, Watcher>();

  constructor(readonly cluster: ClusterId) {
    this.machine = PlacementMachine.fresh(cluster);
  }

  started(): void {
    // Waits to be asked.
  }
  signalled(): void {
    // Has no timers.
  }
  stopped(): void {
    // Holds nothing.
  }

  apply(operation: PlacementOperation): ReturnType<PlacementMachine['apply']> {
    return this.machine.apply(commandOf(operation));
  }

  /** As a real one does after every apply. */
  publish(context: ActorContext): void {
    for (const watcher of this.watchers.values()) this.event(watcher, context);
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    const refused = this.leading ? null : refusalOf(message, failure('NOT_LEADER', 'follows'));
    const answer = refused ?? this.answer(message, from, context);
    if (answer !== null) this.tell(from, answer, context);
  }

  private answer(message: Message, from: Address, context: ActorContext): Message | null {
    const at = this.machine.revision;
    const head = { failure: null, term: this.term, revision: at };
    switch (message.kind) {
      case 'pd.status':
        return { kind: 'pd.statusReply', request: message.request, ...head, leader: replicaId(1), digest: '' };
      case 'pd.registerWorker': {
        const { address, zone, rack, storeIncarnation, request } = message;
        const outcome = this.apply({ kind: 'registerWorker', node: from.node, address, zone, rack, storeIncarnation });
        if (outcome.kind !== 'workerRegistered') return null;
        const { worker } = outcome;
        const identity = { cluster: this.cluster, incarnation: this.machine.incarnation };
        return { kind: 'pd.workerRegistered', request, failure: null, ...identity, worker, revision: at };
      }
      case 'pd.heartbeat':
        this.heartbeats.push(message);
        this.apply({ kind: 'confirmRemovals', worker: message.worker, replicas: message.removed });
        return { kind: 'pd.heartbeatReply', request: message.request, ...head };
      case 'pd.support':
        this.supportsHeard++;
        return { kind: 'pd.heartbeatReply', request: message.request, ...head };
      case 'pd.watch': {
        // Does not notice when it is behind: whoever follows it must.
        const sent = message.fromRevision > at ? revision(0) : message.fromRevision;
        const watcher = { message, from, sent };
        this.watchers.set(from.node, watcher);
        this.event(watcher, context);
        return null;
      }
      default:
        return null;
    }
  }

  private event(watcher: Watcher, context: ActorContext): void {
    const { request, worker } = watcher.message;
    const from = watcher.sent > this.machine.revision ? revision(0) : watcher.sent;
    const change = { ...this.machine.changesSince(from, worker), cluster: this.cluster };
    watcher.sent = change.revision;
    const event = { kind: 'pd.watchEvent', request, failure: null, term: this.term, change, leaders: [] } as const;
    this.tell(watcher.from, event, context);
  }

  private tell(to: Address, message: Message, context: ActorContext): void {
    this.told.push(message);
    context.send(to, message, lanes.completion);
  }
}

export const idsOf = (replicas: Iterable<ReplicaId>): number[] => [...replicas].sort((a, b) => a - b);
