import { logIndex } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import { encode } from '../protocol/codec';
import { shardCommandCodec } from '../protocol/commands';
import type { MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import type { ActorContext, Signal } from '../runtime/actor';
import type { ShardMachine } from '../shard/shard-machine';
import type { RaftMember } from './raft-member';
import { EqualityCheck } from './replica-equality';
import type { ReplicaOptions } from './replica-options';

export interface AuditPort {
  readonly spec: ReplicaSpec;
  readonly member: RaftMember;
  readonly machine: ShardMachine;
  readonly options: Pick<ReplicaOptions, 'auditMs' | 'scrubRecords' | 'scrubBytes' | 'scrubRestMs'>;
  /** What this replica holds is not what it acknowledged. */
  damaged(reason: string, context: ActorContext): void;
  undecided(reason: string | null, context: ActorContext): void;
}

const timerKey = 'replica.audit';
const restMs = 60_000;
/** Replicas that rest look up together, so that a thread with hundreds of them is woken for all at once. */
const restGridMs = 5_000;
/** A group that sleeps is woken for a comparison after so many passes over its records: nothing was written to it. */
const passesAsleep = 6;

/**
 * One replica's proof, in the background, that it is what it says: its records are read again and verified, a slice an
 * audit, and while it leads it has all replicas compare
 * their states whenever something was applied since they last did, and after every pass over the records.
 */
export class ReplicaAudit {
  private readonly equality: EqualityCheck;
  private restsUntil: MonotonicMs | null = null;
  private rests = false;
  /** Passes over the records since the last comparison that was proposed here. */
  private passes = 0;

  constructor(private readonly port: AuditPort) {
    const { spec, member, damaged, undecided } = port;
    this.equality = new EqualityCheck({
      self: spec.replica,
      voters: () => {
        const { raft } = member;
        return raft === null || raft.configuration.votersOutgoing.length > 0 ? [] : raft.configuration.voters;
      },
      lastIndex: () => member.raft?.lastIndex ?? logIndex(0),
      send: (to, body, context) => member.sendChecksum(to, body, context),
      differs: damaged,
      undecided,
    });
  }

  start(context: ActorContext): void {
    this.rests = this.mayRest(context);
    const restUntilMs = Math.ceil((context.now + restMs) / restGridMs) * restGridMs;
    const delayMs = this.rests ? restUntilMs - context.now : this.port.options.auditMs;
    context.setTimer(timerKey, delayMs, { signal: 'timer', key: timerKey });
  }

  /** A replica of a sleeping group has nothing new to compare, and at times nothing to read either. */
  private mayRest({ now }: ActorContext): boolean {
    return this.port.member.isAsleep && this.restsUntil !== null && now + restMs < this.restsUntil;
  }

  /** True if the signal was its own. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (signal.signal !== 'timer' || signal.key !== timerKey) return false;
    this.start(context);
    if (this.port.member.state === 'running') this.audit(context);
    return true;
  }

  applied(context: ActorContext): void {
    if (this.rests) this.start(context);
    for (const note of this.port.machine.checksumNotes) this.equality.noted(note, context);
  }

  claimed(claim: MessageOf<'peer.checksum'>, context: ActorContext): void {
    this.equality.claimed(claim, context);
  }

  private audit(context: ActorContext): void {
    this.equality.audit(context);
    if (this.scrub(context)) this.passes++;
    const { member, machine } = this.port;
    const isNews = machine.appliedIndex > (this.equality.newestIndex ?? 0);
    // Also of an idle group, now and then: a member that was away for the last comparison gets another.
    const isPassed = this.passes >= (member.isAsleep ? passesAsleep : 1);
    if (!member.leaderIsReady || !(isNews || isPassed)) return;
    this.passes = 0;
    const command = encode(shardCommandCodec, { kind: 'checksum', epoch: machine.epoch });
    // Whatever becomes of it: the next audit sees whether it was applied.
    member.propose(command, () => undefined, context);
  }

  /** True: all records have been read once more. */
  private scrub({ now }: ActorContext): boolean {
    const { machine, options } = this.port;
    if (this.restsUntil !== null && now < this.restsUntil) return false;
    this.restsUntil = null;
    if (!machine.scrubSlice(options.scrubRecords, options.scrubBytes)) return false;
    this.restsUntil = (now + options.scrubRestMs) as MonotonicMs;
    return true;
  }
}
