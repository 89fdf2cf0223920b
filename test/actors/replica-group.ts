import { LogWriter } from '../../src/actors/log-writer';
import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { ReplicaActor } from '../../src/actors/replica';
import type { ReplicaOptions } from '../../src/actors/replica-options';
import { assert, present } from '../../src/base/assert';
import { logIndex, type NodeName, nodeName } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { plainWrite, type ShardOperation } from '../../src/protocol/commands';
import type { ReadLevel } from '../../src/protocol/data-messages';
import { at, lanes, logActor, replicaActor, supervisorActor } from '../../src/protocol/envelope';
import { type FlagRange, flagRange } from '../../src/protocol/flags';
import type { Message, MessageKind, MessageOf } from '../../src/protocol/messages';
import type { ReplicaSpec } from '../../src/protocol/records';
import type { Actor } from '../../src/runtime/actor';
import { entryKey } from '../../src/storage/keys';
import { MemoryDisk } from '../../src/storage/memory-disk';
import { FlatEngine, type FlatFile } from '../../src/vector/flat-index';
import { epoch, replicaSpecs, testKeyHash } from '../shard/shard-helpers';
import { VirtualNodes } from './virtual-nodes';

const client = at(nodeName('client'), 'client');
const raft = raftMemberTuning;
/** A read that presents no token and asks for no age. */
export const anyAge = { minIndex: logIndex(0), stalenessMs: 0 };

/** Notes all it hears. */
class Inbox implements Actor {
  readonly heard: Message[] = [];
  started(): void {
    return;
  }
  receive(message: Message): void {
    this.heard.push(message);
  }
  signalled(): void {
    return;
  }
  stopped(): void {
    return;
  }
}

interface Machine {
  readonly spec: ReplicaSpec;
  readonly disk: MemoryDisk;
  /** Graph files; a crash of the machine leaves them, as they are written with fsync. */
  readonly files: Map<string, FlatFile>;
  engine: FlatEngine;
  actor: ReplicaActor;
  up: boolean;
}

/** Three replicas of one shard on three machines with disks, on virtual time, and a client. */
export class ReplicaGroup {
  readonly nodes: VirtualNodes;
  readonly machines = new Map<NodeName, Machine>();
  readonly reports: Inbox[] = [];
  private readonly random: Prng;
  private readonly inbox = new Inbox();
  private requestNext = 1;

  constructor(
    seed: number,
    private readonly options: Partial<ReplicaOptions> = {},
    /** The levels that the program of a node supports when its replica starts. */
    public rangeOf: (node: NodeName) => FlagRange = () => flagRange,
  ) {
    this.nodes = new VirtualNodes(seed);
    this.random = new Prng(seed);
    this.nodes.spawn(client.node, client.actor, this.inbox);
    for (const spec of replicaSpecs([11, 12, 13])) {
      const node = this.nodeOf(spec);
      const machine = { spec, disk: new MemoryDisk(), files: new Map(), engine: new FlatEngine(), up: false };
      this.machines.set(node, { ...machine, actor: this.newActor({ ...machine, node }) });
      this.boot(node);
    }
  }

  private nodeOf(spec: ReplicaSpec): NodeName {
    return present(
      spec.shard.members.find((member) => member.replica === spec.replica),
      'its member',
    ).node;
  }

  private newActor(on: Pick<Machine, 'spec' | 'disk' | 'engine'> & { node: NodeName }): ReplicaActor {
    return new ReplicaActor(on.spec, {
      state: on.disk.state,
      engine: on.engine,
      keyHash: testKeyHash,
      logWriter: at(on.node, logActor),
      supervisor: at(on.node, supervisorActor),
      indexDirectory: '/graphs',
      flags: this.rangeOf(on.node),
      options: this.options,
    });
  }

  machine(node: NodeName): Machine {
    return present(this.machines.get(node), `machine ${node}`);
  }

  boot(node: NodeName): void {
    const machine = this.machine(node);
    const { disk, spec } = machine;
    machine.engine = new FlatEngine(machine.files);
    machine.up = true;
    const reports = new Inbox();
    this.reports.push(reports);
    this.nodes.spawn(node, supervisorActor, reports);
    this.nodes.spawn(node, logActor, new LogWriter({ engine: disk.openLog(), state: disk.state, stateSyncMs: 1_000 }));
    this.spawn(node, spec);
  }

  /** The replica alone, as after the death of its thread: stores and graph stay as they are. */
  private spawn(node: NodeName, spec: ReplicaSpec): void {
    const machine = this.machine(node);
    machine.actor = this.newActor({ ...machine, node });
    this.nodes.spawn(node, replicaActor(spec.replica), machine.actor);
  }

  restartActor(node: NodeName): void {
    const { spec } = this.machine(node);
    this.nodes.host(node).stop(replicaActor(spec.replica), 'killed by a test');
    this.spawn(node, spec);
  }

  restartLogWriter(node: NodeName): void {
    const { disk } = this.machine(node);
    this.nodes.host(node).stop(logActor, 'killed by a test');
    this.nodes.spawn(node, logActor, new LogWriter({ engine: disk.openLog(), state: disk.state, stateSyncMs: 1_000 }));
  }

  /** Power is cut: what was not synced may be gone. */
  crash(node: NodeName): void {
    const machine = this.machine(node);
    machine.up = false;
    this.nodes.kill(node);
    machine.disk.crash(this.random);
  }

  /** What the replica on `node` has told its supervisors of faults. */
  faultsOf(node: NodeName): readonly Message[] {
    const machine = this.machine(node);
    const { replica } = machine.spec;
    const isAbout = (message: Message): boolean =>
      message.kind === 'replica.fault' && message.fault.replica === replica;
    return this.reports.flatMap(({ heard }) => heard.filter(isAbout));
  }

  /** Damages one bit of an entry of the log that lies on the disk of `node`. */
  flipLogEntry(node: NodeName, index: number): void {
    const { disk, spec } = this.machine(node);
    disk.log.flipBit(entryKey(spec.replica, logIndex(index)), this.random);
  }

  get running(): Machine[] {
    return [...this.machines.values()].filter((machine) => machine.up);
  }

  get leader(): NodeName | null {
    for (const [node, { actor, up }] of this.machines) if (up && actor.member?.leaderIsReady === true) return node;
    return null;
  }

  awaitLeader(): NodeName {
    this.runUntil(() => this.leader !== null);
    return present(this.leader, 'a leader');
  }

  follower(): NodeName {
    const { leader } = this;
    return present(
      [...this.machines.keys()].find((node) => node !== leader && this.machine(node).up),
      'a follower',
    );
  }

  runUntil(done: () => boolean, timeoutMs = 60_000): void {
    const reached = this.nodes.run(timeoutMs, done);
    assert(this.nodes.thrown.length === 0, `a handler threw: ${String((this.nodes.thrown[0] as Error)?.stack)}`);
    assert(reached, 'the condition never came to hold');
  }

  /** Until all running replicas have applied the same and hold the same. */
  awaitAgreement(): void {
    const stateOf = ({ actor }: Machine): string =>
      actor.machine === null ? 'none' : `${actor.machine.appliedIndex} ${actor.machine.digest()}`;
    this.runUntil(() => new Set(this.running.map(stateOf)).size === 1 && this.running.every(isSettled));
  }

  // The client

  /** Sends a request and gives its number, or the answer once there is one. */
  send(node: NodeName, build: (header: Header) => Message): number {
    const { spec } = this.machine(node);
    const request = this.requestNext++;
    const message = build({ request, shard: spec.shard.id, epoch, timeoutMs: 5_000 });
    this.nodes.host(node).deliver(at(node, replicaActor(spec.replica)), client, message, lanes.data);
    return request;
  }

  answersTo(request: number): Message[] {
    return this.inbox.heard.filter((message) => 'request' in message && message.request === request);
  }

  ask<K extends MessageKind>(node: NodeName, kind: K, build: (header: Header) => Message): MessageOf<K> {
    const request = this.send(node, build);
    this.runUntil(() => this.answersTo(request).length > 0);
    const [answer] = this.answersTo(request);
    assert(answer?.kind === kind, `a ${answer?.kind} instead of a ${kind}`);
    return answer as MessageOf<K>;
  }

  write(
    node: NodeName,
    operation: ShardOperation,
    overrides: Partial<MessageOf<'data.write'>> = {},
  ): MessageOf<'data.written'> {
    const fields = { operation, options: plainWrite, ...overrides };
    return this.ask(node, 'data.written', (header) => ({ kind: 'data.write', ...header, ...fields }));
  }

  get(
    node: NodeName,
    ids: readonly string[],
    level: ReadLevel,
    dial: Partial<Pick<MessageOf<'data.get'>, 'minIndex' | 'stalenessMs'>> = {},
  ): MessageOf<'data.got'> {
    const fields = { ids, level, ...anyAge, ...dial };
    return this.ask(node, 'data.got', (header) => ({ kind: 'data.get', ...header, ...fields }));
  }
}

type Header = Pick<MessageOf<'data.write'>, 'request' | 'shard' | 'epoch' | 'timeoutMs'>;

const isSettled = ({ actor }: Machine): boolean =>
  actor.member?.state === 'running' && actor.machine?.indexReady === true;

/** A log so short that a replica that was away needs a snapshot, of many chunks. */
export const smallWindow = (logWindowBytes: number): Partial<ReplicaOptions> => ({
  raft: { ...raft, logWindowBytes, snapshotWindowBytes: 1_000 },
  snapshotLimits: { chunkBytes: 500, preImageBytes: 1_000_000 },
});
