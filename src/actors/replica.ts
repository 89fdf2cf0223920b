import { assert } from '../base/assert';
import { VectronError } from '../base/errors';
import { nodeName } from '../base/ids';
import { encode } from '../protocol/codec';
import type { Failure } from '../protocol/data-messages';
import { type Address, lanes } from '../protocol/envelope';
import { flagRange } from '../protocol/flags';
import type { Message, MessageOf } from '../protocol/messages';
import type { ReplicaFault } from '../protocol/placement-messages';
import type { Configuration } from '../protocol/raft-messages';
import { type ReplicaSpec, replicaSpecCodec } from '../protocol/records';
import { createRaft } from '../raft/core';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import { failure } from '../runtime/refusal';
import { putInQuarantine, quarantineReason } from '../shard/quarantine';
import { ShardMachine } from '../shard/shard-machine';
import type { VectorIndex } from '../vector/ports';
import { RaftMember } from './raft-member';
import type { MemberEnd } from './raft-member-options';
import { ReplicaAudit } from './replica-audit';
import { endCodes, endsBy } from './replica-ends';
import { ReplicaExpiry } from './replica-expiry';
import { figuresOf, memoryReply, ReplicaUpkeep, unlinkedOf } from './replica-index';
import { isOrder, ReplicaBook, ReplicaMembers } from './replica-members';
import {
  type ReplicaEnvironment,
  type ReplicaOptions,
  replicaIndexKey,
  replicaIndexPath,
  replicaOptions,
} from './replica-options';
import { type ReadMessage, ReplicaReads } from './replica-reads';
import { type DataRequest, isDataRequest, OpenRequest } from './replica-requests';
import { ReplicaSchema } from './replica-schema';
import { ReplicaWrites } from './replica-writes';

interface Parts {
  readonly machine: ShardMachine;
  readonly index: VectorIndex;
  readonly member: RaftMember;
  readonly writes: ReplicaWrites;
  readonly reads: ReplicaReads;
  readonly upkeep: ReplicaUpkeep;
  readonly members: ReplicaMembers;
  readonly schemas: ReplicaSchema;
  readonly audit: ReplicaAudit;
  readonly expiry: ReplicaExpiry;
}

/** Of every group at its log's beginning: a later member takes it from there, or from a snapshot. */
const firstEpoch = { version: 1, confVersion: 1 };
const reportKey = 'replica.report';
const faultKey = 'replica.fault';
const retryAfterMs = 100;

/**
 * One replica of one shard: a Raft member that drives the shard's points, and answers gateways. Hosted by a shard thread;
 * started by the supervisor, and again on another thread when its own has ended (DESIGN D2).
 *
 *  1. Every request is answered once, at its deadline at the latest.
 *  2. A replica whose log, descriptor or records are not what was written, or whose state differs from what a majority
 *     holds, falls silent for good: it neither votes nor leads nor serves under its id again, answers REPLICA_DAMAGED with
 *     the reason, and reports that until it is replaced.
 *  3. One that meets a command, flag or format of a later version stops before it, answers UNSUPPORTED_VERSION and reports
 *     that; nothing is marked, as a later version of the program goes on from there.
 *  4. The points and the graph outlive the actor; it gives nothing back when it ends.
 */
export class ReplicaActor implements Actor {
  /** Why this replica serves no more; null while it does. */
  failure: string | null = null;
  /** What its peers or people must know of it; null: nothing. */
  private fault: ReplicaFault | null = null;
  private readonly options: ReplicaOptions;
  private readonly book: ReplicaBook;
  private parts: Parts | null = null;
  private node = nodeName('');

  constructor(
    private readonly spec: ReplicaSpec,
    private readonly environment: ReplicaEnvironment,
  ) {
    this.options = { ...replicaOptions, ...environment.options };
    this.book = new ReplicaBook(spec);
  }

  /** For tests and the simulator to look into; null before it started and after it ended. */
  get member(): RaftMember | null {
    return this.parts?.member ?? null;
  }
  get machine(): ShardMachine | null {
    return this.parts?.machine ?? null;
  }
  /** Requests that were taken and are not settled, and what the member has under way for them. */
  get openCount(): number {
    if (this.parts === null) return 0;
    const { member, reads, writes } = this.parts;
    return reads.openCount + writes.openCount + member.pendingCount + member.pendingReadCount;
  }

  started(context: ActorContext): void {
    this.node = context.self.node;
    this.guarded(context, () => {
      const quarantine = quarantineReason(this.environment.state, this.spec.replica);
      if (quarantine !== null) return this.damaged(quarantine, context);
      this.parts = this.open();
      this.parts.member.start(context);
      this.parts.audit.start(context);
      this.parts.upkeep.schedule(context);
      this.report(context);
    });
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    this.guarded(context, () => {
      if (isDataRequest(message)) return this.request(message, from, context);
      if (isOrder(message)) return this.parts?.members.obey(message, from, context);
      if (message.kind === 'schema.order') return this.parts?.schemas.obey(message, from, context);
      this.book.learnSender(message, from);
      this.parts?.member.handle(message, context);
      if (message.kind === 'group.tick' && this.parts !== null) this.sweep(this.parts, context);
    });
  }

  signalled(signal: Signal, context: ActorContext): void {
    this.guarded(context, () => {
      const { parts } = this;
      if (signal.signal === 'timer' && signal.key === faultKey) this.tellFault(context);
      if (parts === null || parts.upkeep.signalled(signal, context) || parts.audit.signalled(signal, context)) return;
      if (parts.reads.signalled(signal, context) || parts.expiry.signalled(signal, context)) return;
      if (signal.signal === 'timer' && signal.key === reportKey) this.report(context);
      else if (parts.member.signalled(signal, context) && signal.signal === 'timer') this.sweep(parts, context);
    });
  }

  stopped(): void {
    this.parts?.member.stopped();
    this.parts = null;
  }

  // Parts

  private open(): Parts {
    const { spec, environment, options } = this;
    const index = this.openIndex();
    const machine = this.openMachine(index);
    const member = this.newMember(machine);
    const { engine, keyHash, indexDirectory } = environment;
    const unlinkedPointsMax = options.ingest ? Number.POSITIVE_INFINITY : options.unlinkedPointsMax;
    const answers = {
      notLeader: () => this.notLeader(),
      stale: (why: string) => ({ ...failure('STALE_SHARD', why), epoch: machine.epoch }),
      corrupt: (thrown: VectronError, context: ActorContext) => member.quarantine(thrown.message, context),
    };
    const reads = new ReplicaReads({ spec, member, machine, index, ...answers });
    const writes = new ReplicaWrites({ spec, member, machine, index, engine, keyHash, unlinkedPointsMax, ...answers });
    const path = replicaIndexPath(indexDirectory, spec.replica);
    // Replicas fall quiet together; one after another they may be busy with their files.
    const place = spec.shard.members.findIndex((one) => one.replica === spec.replica);
    const turns = 1 + Math.max(place, 0);
    const saving = {
      ...options,
      saveQuietMs: options.saveQuietMs * turns,
      saveOverdueMs: options.saveOverdueMs * turns,
    };
    const upkeep = new ReplicaUpkeep(machine, index, path, saving, (context) => reads.release(context));
    this.book.learn(machine.members);
    const members = new ReplicaMembers(spec, this.book, member, machine);
    const schemas = new ReplicaSchema(spec, member, machine);
    const audit = new ReplicaAudit({
      spec,
      member,
      machine,
      options,
      damaged: (reason, context) => member.quarantine(reason, context),
      undecided: (reason, context) => this.undecided(reason, context),
    });
    const expiry = new ReplicaExpiry(member, machine);
    return { machine, index, member, writes, reads, upkeep, audit, expiry, members, schemas };
  }

  private openIndex(): VectorIndex {
    const { engine, indexDirectory } = this.environment;
    const { collection, replica } = this.spec;
    const { dimension, metric, hnsw, storage } = collection;
    const key = replicaIndexKey(this.spec, this.node, indexDirectory);
    const capacity = this.options.indexCapacity;
    const { m, efConstruction } = hnsw;
    const path = replicaIndexPath(indexDirectory, replica);
    const { quantisation } = storage;
    const originals = path === null ? 'memory' : storage.originals;
    return engine.open({ key, dimension, metric, m, efConstruction, capacity, originals, quantisation }, path);
  }

  private openMachine(index: VectorIndex): ShardMachine {
    const { state, keyHash } = this.environment;
    const { bootstrap, collection, replica, shard } = this.spec;
    const { dimension } = collection;
    const { epoch, range } = shard;
    return new ShardMachine({
      replica,
      dimension,
      range,
      epoch: bootstrap ? epoch : firstEpoch,
      keyHash,
      flags: this.environment.flags ?? flagRange,
      state,
      index,
      configuration: firstConfiguration(this.spec),
      snapshotLimits: this.options.snapshotLimits,
    });
  }

  private newMember(machine: ShardMachine): RaftMember {
    const { spec, environment } = this;
    return new RaftMember({
      cluster: spec.cluster,
      shard: spec.shard.id,
      self: spec.replica,
      epoch: () => machine.epoch,
      configuration: () => machine.configuration,
      addressOf: (replica) => this.book.addressOf(replica),
      learn: (entry) => this.book.learnEntry(entry),
      logWriter: environment.logWriter,
      descriptor: encode(replicaSpecCodec, spec),
      machine,
      syncState: () => environment.state.sync(),
      createCore: environment.createCore ?? createRaft,
      tuning: this.options.raft,
      ...(environment.keeper === undefined ? {} : { keeper: environment.keeper }),
      isBusy: () => this.isBusy,
      events: {
        changed: (context) => {
          this.report(context);
          this.parts?.expiry.look(context);
        },
        applied: (entries, context) => {
          if (entries.length === 0) this.book.learn(machine.members);
          this.parts?.upkeep.changed(entries.length > 0 ? machine.changedCount : 0, context);
          this.parts?.reads.applied(context);
          if (entries.length > 0) this.parts?.audit.applied(context);
          this.parts?.expiry.look(context);
        },
        claimed: (claim, context) => this.parts?.audit.claimed(claim, context),
        ended: (end, reason, context) => this.ended(end, reason, context),
      },
    });
  }

  // Requests

  private request(message: DataRequest, from: Address, context: ActorContext): void {
    const request = new OpenRequest(message, from, context);
    const { parts } = this;
    if (request.expire(context)) return;
    if (message.shard !== this.spec.shard.id) {
      request.refuse('STALE_SHARD', `this is a replica of shard ${this.spec.shard.id}`, context);
    } else if (this.fault !== null && this.fault.state !== 'undecided') {
      request.refuse(endCodes[this.fault.state], this.fault.reason, context);
    } else if (parts === null || this.failure !== null || !isServing(parts)) {
      request.refuse('UNAVAILABLE', this.failure ?? 'the replica is starting', context, retryAfterMs);
    } else this.dispatch(parts, request, context);
    if (this.isBusy) parts?.member.wake(context);
  }

  /** Not to be slept through: requests have deadlines, and a graph is written by a replica that is awake. */
  private get isBusy(): boolean {
    const { parts } = this;
    if (parts === null) return true;
    const { reads, writes, upkeep } = parts;
    return reads.openCount + reads.behindCount + writes.openCount > 0 || upkeep.isBusy;
  }

  private dispatch(parts: Parts, request: OpenRequest, context: ActorContext): void {
    if (isOf(request, 'data.write')) parts.writes.accept(request, context);
    else if (isOf(request, 'data.status')) request.reply(this.status(parts, request.message), context);
    else if (isOf(request, 'data.memory'))
      request.reply(memoryReply(this.environment.engine, request.message), context);
    else parts.reads.accept(request as OpenRequest<ReadMessage>, context);
  }

  private status(parts: Parts, { request, shard }: MessageOf<'data.status'>): Message {
    const { machine, member, index } = parts;
    const { role, term, leader, commitIndex } = member;
    const { appliedIndex, points } = machine;
    const digest = machine.digest();
    const { replica } = this.spec;
    const where = { request, shard, failure: null, replica, node: this.node };
    const raft = { role, term, leader, appliedIndex, commitIndex };
    return {
      kind: 'data.statusReply',
      ...where,
      ...raft,
      points,
      unlinked: unlinkedOf(index),
      index: figuresOf(index),
      digest,
    };
  }

  private notLeader(): Failure {
    const leader = this.parts?.member.leader;
    const isOther = leader !== undefined && leader !== this.spec.replica;
    const hint = (isOther && this.book.nodeOf(leader)) || '';
    return { ...failure('NOT_LEADER', 'this replica does not lead its shard'), leader: hint };
  }

  // Time, reports, ends

  private sweep(parts: Parts, context: ActorContext): void {
    parts.writes.sweep(context);
    parts.reads.sweep(context);
  }

  private report(context: ActorContext): void {
    const { parts, spec } = this;
    if (parts === null || this.failure !== null) return;
    const { machine, member } = parts;
    const { term, leader } = member;
    const { epoch, appliedIndex, points } = machine;
    const { replica } = spec;
    const report = { shard: spec.shard.id, replica, epoch, term, leader, appliedIndex, points };
    context.send(this.environment.supervisor, { kind: 'replica.report', report }, lanes.completion);
    parts.upkeep.saveIfDue(context);
    if (member.isAsleep) {
      context.cancelTimer(reportKey);
      machine.forgetRecent();
      return;
    }
    context.setTimer(reportKey, this.options.reportMs, { signal: 'timer', key: reportKey });
  }

  private ended(end: MemberEnd, reason: string, context: ActorContext): void {
    this.failure = reason;
    const code = endCodes[end];
    this.parts?.reads.failAll(failure(code, reason, retryAfterMs), context);
    if (end === 'outdated') this.raise('outdated', reason, context);
    if (end === 'removed') context.stop();
    if (end !== 'damaged') return;
    this.damaged(reason, context);
    putInQuarantine(this.environment.state, this.spec.replica, reason);
  }

  private damaged(reason: string, context: ActorContext): void {
    this.failure = reason;
    this.raise('damaged', reason, context);
  }

  private undecided(reason: string | null, context: ActorContext): void {
    if (reason !== null) this.raise('undecided', reason, context);
    else if (this.fault?.state === 'undecided') this.fault = null;
  }

  private raise(state: ReplicaFault['state'], reason: string, context: ActorContext): void {
    const { shard, replica } = this.spec;
    const epoch = this.parts?.machine.epoch ?? shard.epoch;
    this.fault = { shard: shard.id, replica, epoch, state, reason };
    this.tellFault(context);
  }

  private tellFault(context: ActorContext): void {
    const { fault } = this;
    if (fault === null) return;
    context.send(this.environment.supervisor, { kind: 'replica.fault', fault }, lanes.completion);
    context.setTimer(faultKey, this.options.reportMs, { signal: 'timer', key: faultKey });
  }

  /** What is corrupt, or of a later version, silences the replica; anything else is a bug, and supervision's to answer. */
  private guarded(context: ActorContext, handler: () => void): void {
    try {
      handler();
    } catch (thrown) {
      const end = thrown instanceof VectronError ? endsBy[thrown.code] : undefined;
      if (end === undefined) throw thrown;
      const { message } = thrown as VectronError;
      if (this.parts === null) this.ended(end, message, context);
      else if (end === 'damaged') this.parts.member.quarantine(message, context);
      else this.parts.member.retire(message, context);
    }
  }
}

/** A group's first members know each other from the shard's record; one that joins later learns of them by snapshot. */
function firstConfiguration({ bootstrap, shard, collection }: ReplicaSpec): Configuration {
  assert(!bootstrap || shard.members.length > 0, 'replica: a first member of a group without members');
  const first = bootstrap ? shard.members.slice(0, collection.replicationFactor) : [];
  return { voters: first.map((member) => member.replica), votersOutgoing: [], learners: [] };
}

/** A new member knows nothing before it has heard of its own group from the log or by a snapshot. */
const isServing = ({ member, machine }: Parts): boolean =>
  member.state === 'running' && machine.configuration.voters.length > 0;

function isOf<K extends DataRequest['kind']>(request: OpenRequest, kind: K): request is OpenRequest<MessageOf<K>> {
  return request.message.kind === kind;
}
