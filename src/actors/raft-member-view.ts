import { type LogIndex, logIndex, type ReplicaId, type Term, term } from '../base/ids';
import type { ChangeResult, MembersWanted, RaftCore, Role, TransferResult } from '../raft/types';
import type { ActorContext } from '../runtime/actor';
import type { MemberEnd, RaftMemberOptions } from './raft-member-options';
import type { MemberSleep } from './raft-member-sleep';
import type { StateMachine } from './state-machine';

export type MemberState = 'new' | 'opening' | 'running' | MemberEnd;

/** What others may see of a member, and what they may ask of its group. */
export abstract class MemberView {
  protected current: MemberState = 'new';
  protected core: RaftCore | null = null;
  protected sleep: MemberSleep | null = null;

  constructor(protected readonly options: RaftMemberOptions) {}

  get state(): MemberState {
    return this.current;
  }
  /** For tests and the simulator to look into; null unless running. */
  get raft(): RaftCore | null {
    return this.core;
  }
  get machine(): StateMachine {
    return this.options.machine;
  }
  get role(): Role {
    return this.core?.role ?? 'follower';
  }
  get term(): Term {
    return this.core?.term ?? term(0);
  }
  /** 0 when unknown. */
  get leader(): ReplicaId {
    return this.core?.leader ?? (0 as ReplicaId);
  }
  get commitIndex(): LogIndex {
    return this.core?.commitIndex ?? logIndex(0);
  }
  get isLeader(): boolean {
    return this.role === 'leader';
  }
  /**
   * Whether this member may answer at the LEADER level: a quorum heard it within an election timeout, and an entry of its
   * own term is applied, without which it could miss what an earlier leader acknowledged.
   */
  get leaderIsReady(): boolean {
    const { core } = this;
    this.sleep?.recall();
    return core?.leaderIsConfirmed === true && this.options.machine.appliedTerm === core.term;
  }

  /** Its group has nothing to do and is not ticked; see MemberSleep. */
  get isAsleep(): boolean {
    return this.sleep?.asleep ?? false;
  }

  protected get hasEnded(): boolean {
    return this.current !== 'new' && this.current !== 'opening' && this.current !== 'running';
  }

  /** Does all that the core wants done. */
  protected abstract flush(context: ActorContext): void;

  protected abstract end(end: MemberEnd, reason: string, context: ActorContext): void;

  /** The member can no longer be trusted: it falls silent, and everything that waits for it ends. */
  fail(reason: string, context: ActorContext): void {
    if (!this.hasEnded) this.end('failed', reason, context);
  }

  /** What this member holds is not what it acknowledged: it falls silent, and must not come back as who it was. */
  quarantine(reason: string, context: ActorContext): void {
    if (!this.hasEnded) this.end('damaged', reason, context);
  }

  /** It has met what a later version of the program wrote: it falls silent until that runs here. */
  retire(reason: string, context: ActorContext): void {
    if (!this.hasEnded) this.end('outdated', reason, context);
  }

  /** Something is to be done here that a sleeper would not do. */
  wake(context: ActorContext): void {
    this.sleep?.wake(false, context);
  }

  /** See RaftCore. */
  changeMembers(wanted: MembersWanted, about: Uint8Array, context: ActorContext): ChangeResult {
    this.wake(context);
    const result = this.core?.changeMembers(wanted, about) ?? { ok: false, reason: 'notLeader' };
    this.flush(context);
    return result;
  }

  transferLeadership(to: ReplicaId, context: ActorContext): TransferResult {
    this.wake(context);
    const result = this.core?.transferLeadership(to) ?? { ok: false, reason: 'notLeader' };
    this.flush(context);
    return result;
  }
}

/** Who led, and in which term, when the member was last looked at. */
export class Standing {
  private seen: { readonly role: Role; readonly term: Term; readonly leader: ReplicaId } | null = null;

  /** `lost`: this member led then, and does no more, or in another term. */
  look({ role, term: termNow, leader }: RaftCore): 'none' | 'changed' | 'lost' {
    const { seen } = this;
    if (seen?.role === role && seen.term === termNow && seen.leader === leader) return 'none';
    this.seen = { role, term: termNow, leader };
    return seen?.role === 'leader' && (role !== 'leader' || seen.term !== termNow) ? 'lost' : 'changed';
  }
}
