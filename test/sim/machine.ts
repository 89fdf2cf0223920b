import { BeatBoard } from '../../src/actors/beat-board';
import { KeeperActor } from '../../src/actors/keeper';
import { LogWriter } from '../../src/actors/log-writer';
import { MachineBeats } from '../../src/actors/machine-beats';
import { PlacementDriverActor } from '../../src/actors/placement-driver';
import { PlacementStore } from '../../src/actors/placement-driver-store';
import type { ReplicaHosts } from '../../src/actors/ports';
import { type RaftMemberTuning, raftMemberTuning } from '../../src/actors/raft-member-options';
import { ReplicaActor } from '../../src/actors/replica';
import { replicaIndexPath } from '../../src/actors/replica-options';
import { SupervisorActor } from '../../src/actors/supervisor';
import { ThreadKeeper } from '../../src/actors/thread-keeper';
import { present } from '../../src/base/assert';
import { type ClusterId, type NodeName, nodeName, type ReplicaId, replicaId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import {
  at,
  beatsActor,
  keeperActor,
  lanes,
  logActor,
  placementActor,
  replicaActor,
  supervisorActor,
} from '../../src/protocol/envelope';
import type { KeyHash } from '../../src/protocol/key-hash';
import type { ReplicaSpec } from '../../src/protocol/records';
import { destroyReplicaState } from '../../src/shard/destroy';
import { sourceLimits } from '../../src/shard/snapshot-source';
import { MemoryDisk } from '../../src/storage/memory-disk';
import { FlatEngine, type FlatFile } from '../../src/vector/flat-index';
import type { DiskOptions, LogOptions } from './options';
import { must } from './violation';
import { SimNode, type SimThread, type SimWorld } from './world';

export const placementNodes: readonly NodeName[] = [nodeName('pd-1'), nodeName('pd-2'), nodeName('pd-3')];
const placementMembers = placementNodes.map((node, i) => ({ replica: replicaId(i + 1), node }));
const shardThreads = ['shard-0', 'shard-1'];
const newBoard = (): BeatBoard => new BeatBoard(BeatBoard.memory(shardThreads.length));
const stateSyncMs = 1_000;
/** Graph files are written often enough that crashes fall between them. */
/** Comparisons and scrubs often enough that a run sees many. */
const auditOptions = { auditMs: 1_500, scrubRecords: 16 };
/** How long an index takes to load its file, in looks of its replica. */
const loadPolls = 3;
const graphOptions = { saveChangesMin: 3, saveChangesShare: 0, saveIntervalMs: 400, saveQuietMs: 50 };
/** Longer than a supervisor waits before it starts a replica again. */
const afterlifeMsMax = 400;
const slowStartMsMax = 8_000;

/** What every simulated process of a run shares. */
export interface SimContext {
  readonly world: SimWorld;
  readonly cluster: ClusterId;
  readonly keyHash: KeyHash;
  readonly disk: DiskOptions;
  /** Decides which replicas start slowly. */
  readonly starts: Prng;
  readonly log: LogOptions;
  readonly deadAfterMs: number;
  /** Which shard, and where, each replica id was ever given to. */
  readonly owners: Map<ReplicaId, string>;
}

/** A process with disks: they outlive its crashes, nothing else does. */
abstract class SimMachine {
  disk = new MemoryDisk();
  node: SimNode;
  /** Set by a disk hook in the middle of a write: the machine dies before anything else happens. */
  dying = false;
  /** A write or sync has failed. The process goes on, must not acknowledge anything, and waits for a restart. */
  sick = false;
  private armed: 'no' | 'crash' | 'error' = 'no';

  constructor(
    readonly context: SimContext,
    readonly name: NodeName,
  ) {
    this.attach();
    this.node = new SimNode(context.world, name);
  }

  abstract boot(): void;
  /** Whether a member of this machine takes itself for a leader. */
  abstract get leads(): boolean;

  private attach(): void {
    this.disk.log.hook = () => this.beforeWrite();
    this.disk.state.hook = () => this.beforeWrite();
  }

  /** The machine, which is down, gets empty disks. */
  wipe(): void {
    this.context.world.note(`WIPE ${this.name}`);
    this.disk = new MemoryDisk();
    this.attach();
  }

  protected get tuning(): RaftMemberTuning {
    const { windowBytes, chunkBytes, sleepAfterTicks } = this.context.log;
    const snapshotWindowBytes = 3 * chunkBytes;
    return { ...raftMemberTuning, logWindowBytes: windowBytes, snapshotWindowBytes, sleepAfterTicks };
  }

  get up(): boolean {
    return this.node.up;
  }

  /** Power is lost, and what was not synced may be gone; or the process alone ends, and the stores keep everything. */
  crash(): void {
    const { world, disk } = this.context;
    // What an interrupted or failed sync has left behind, only the loss of the operating system's cache makes known.
    const isPower = this.dying || this.sick || world.random.chance(disk.powerLossChance);
    world.note(`${isPower ? 'CRASH' : 'END'} ${this.name}`);
    world.tally.add('crash');
    if (isPower) world.tally.add('powerLoss');
    this.node.kill();
    if (isPower) this.disk.crash(world.random);
    else this.disk.start();
    this.armed = 'no';
    this.dying = false;
    this.sick = false;
  }

  restart(): void {
    this.context.world.note(`START ${this.name}`);
    this.node = new SimNode(this.context.world, this.name);
    this.boot();
  }

  /** Now, or in the middle of the next write to a disk. */
  crashSoon(): void {
    if (this.context.world.random.chance(this.context.disk.crashInWriteChance)) this.armed = 'crash';
    else this.crash();
  }

  /** The next write or sync fails. */
  failSoon(): void {
    this.armed = 'error';
  }

  /** A fault that has not come yet will not come. */
  disarm(): void {
    this.armed = 'no';
  }

  private beforeWrite(): void {
    const { armed } = this;
    this.armed = 'no';
    if (armed === 'error') {
      this.context.world.note(`DISK ERROR ${this.name}`);
      this.context.world.tally.add('diskError');
      this.sick = true;
      throw new Error('EIO');
    }
    if (armed === 'no') return;
    this.context.world.tally.add('crashInWrite');
    this.dying = true;
    throw new Error('the machine lost power in the middle of a write');
  }

  /** Work of the process outside of all actors; false: a fault that was due struck it. */
  protected survives(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (thrown) {
      if (!this.dying && !this.sick) throw thrown;
      return false;
    }
  }

  protected startLog(): void {
    const thread = this.node.addThread('log', this.context.disk.syncMeanMs);
    thread.host.spawn(logActor, new LogWriter({ engine: this.disk.openLog(), state: this.disk.state, stateSyncMs }));
  }
}

/** One node of the placement driver. */
export class PlacementMachine extends SimMachine {
  actor: PlacementDriverActor | null = null;

  boot(): void {
    this.startLog();
    const { cluster } = this.context;
    const { self } = this;
    this.actor = new PlacementDriverActor({
      cluster,
      self,
      members: placementMembers,
      state: this.disk.state,
      logWriter: at(this.name, logActor),
      options: { deadAfterMs: this.context.deadAfterMs },
    });
    this.node.addThread('pd').host.spawn(placementActor, this.actor);
  }

  get leads(): boolean {
    return this.actor?.member.isLeader === true;
  }

  /** Of the records as a restart would read them. */
  storedDigest(): string {
    const { cluster } = this.context;
    return new PlacementStore({ cluster, replica: this.self, store: this.disk.state }).digest();
  }

  private get self(): ReplicaId {
    return replicaId(placementNodes.indexOf(this.name) + 1);
  }
}

export interface SimReplica {
  readonly actor: ReplicaActor;
  readonly spec: ReplicaSpec;
  /** Of the actor. */
  readonly name: string;
  readonly thread: SimThread;
}

/** A worker: supervisor, log writer, shard threads with replicas. */
export class WorkerMachine extends SimMachine implements ReplicaHosts {
  /** By shard thread. */
  private readonly keepers = new Map<string, ThreadKeeper>();
  /** Memory that the threads of one life of the process share. */
  private board = newBoard();
  readonly replicas = new Map<ReplicaId, SimReplica>();
  /** Graph files, which a crash leaves as they are: each was synced and renamed. */
  private readonly graphs = new Map<string, FlatFile>();
  engine = new FlatEngine(this.graphs, loadPolls);
  private storeNumber = 0;

  /** What it registers its store as; another one after each wipe. */
  get storeName(): string {
    return this.storeIdentity();
  }

  private storeIdentity(): string {
    return `store-${this.storeNumber}-of-${this.name}`;
  }

  override wipe(): void {
    super.wipe();
    this.graphs.clear();
    this.replicas.clear();
    this.storeNumber++;
  }

  boot(): void {
    this.engine = new FlatEngine(this.graphs, loadPolls);
    this.replicas.clear();
    this.startLog();
    this.keepers.clear();
    this.board = newBoard();
    const beats = new MachineBeats(this.context.cluster, this.tuning, this.board);
    this.node.addThread('link').host.spawn(beatsActor, beats);
    for (const name of shardThreads) this.addShardThread(name);
    const supervisor = new SupervisorActor({
      cluster: this.context.cluster,
      node: this.name,
      address: '',
      zone: '',
      rack: '',
      storeIncarnation: this.storeName,
      placementNodes,
      hosts: this,
      links: { setPeers: () => undefined },
      logWriter: at(this.name, logActor),
    });
    this.node.addThread('main').host.spawn(supervisorActor, supervisor);
  }

  get leads(): boolean {
    return [...this.replicas.values()].some(({ actor }) => actor.member?.isLeader === true);
  }

  private addShardThread(name: string): void {
    const keeper = new ThreadKeeper(this.tuning.electionTicks);
    this.keepers.set(name, keeper);
    const actor = new KeeperActor(keeper, this.tuning, this.board, shardThreads.indexOf(name));
    this.node.addThread(name).host.spawn(keeperActor(name), actor);
  }

  start(spec: ReplicaSpec): void {
    const { node } = this;
    this.checkOwner(spec);
    this.context.world.schedule(this.startDelayMs(), 'start replica', node, () => {
      if (!node.up) return;
      const thread = this.threadFor(spec.replica);
      if (thread === undefined) return this.tellDown(spec.replica, 'its thread is gone');
      const { chunkBytes } = this.context.log;
      const keeper = present(this.keepers.get(thread.name), `the keeper of ${thread.name}`);
      const actor = new ReplicaActor(spec, {
        state: this.disk.state,
        engine: this.engine,
        keyHash: this.context.keyHash,
        logWriter: at(this.name, logActor),
        supervisor: at(this.name, supervisorActor),
        keeper,
        indexDirectory: this.context.log.savesGraphs ? this.name : null,
        options: {
          ...graphOptions,
          ...auditOptions,
          scrubRestMs: this.context.disk.scrubRestMs,
          raft: this.tuning,
          snapshotLimits: { ...sourceLimits, chunkBytes },
        },
      });
      const name = replicaActor(spec.replica);
      this.replicas.set(spec.replica, { actor, spec, name, thread });
      thread.host.spawn(name, actor);
      thread.wake();
    });
  }

  /** An id that was given away once is nobody else's for ever. */
  private checkOwner({ replica, shard }: ReplicaSpec): void {
    const { owners } = this.context;
    const owner = `shard ${shard.id} on ${this.name}`;
    const known = owners.get(replica) ?? owner;
    owners.set(replica, known);
    must(known === owner, () => `replica id ${replica} of ${known} was given to ${owner}`);
  }

  /** Now and then it takes long, as if a large graph were read. */
  private startDelayMs(): number {
    const { disk, starts } = this.context;
    return starts.chance(disk.slowStartChance) ? slowStartMsMax * starts.float() : 0.5;
  }

  destroy(replica: ReplicaId): void {
    const { node } = this;
    this.context.world.schedule(0.5, 'destroy replica', node, () => {
      if (!node.up) return;
      node.threadOf(replicaActor(replica))?.host.stop(replicaActor(replica), 'destroyed');
      this.replicas.delete(replica);
      if (!this.survives(() => destroyReplicaState(this.disk.state, replica))) return;
      this.graphs.delete(replicaIndexPath(this.name, replica) ?? '');
      const main = node.threads.get('main');
      const from = at(this.name, replicaActor(replica));
      main?.host.deliver(
        at(this.name, supervisorActor),
        from,
        { kind: 'replica.destroyed', replica },
        lanes.completion,
      );
      main?.wake();
    });
  }

  /** An actor of a shard thread ended: its supervisor hears of it. */
  ended(actor: string, reason: string): void {
    for (const [replica] of this.replicas) {
      if (replicaActor(replica) !== actor) continue;
      this.replicas.delete(replica);
      this.tellDown(replica, reason);
    }
  }

  /** A shard or log thread dies without a word; its actors are restarted elsewhere once it is gone. */
  killThread(name: string): void {
    const { node } = this;
    const thread = node.threads.get(name);
    if (thread === undefined) return;
    this.context.world.note(`KILL THREAD ${this.name}/${name}`);
    const actors = thread.host.names();
    thread.alive = false;
    const { random, tally } = this.context.world;
    if (random.chance(0.5)) {
      tally.add('lateWords');
      thread.afterlifeMs = random.float() * afterlifeMsMax;
    }
    node.threads.delete(name);
    this.context.world.schedule(1, 'thread exit', node, () => {
      if (!node.up) return;
      if (name === 'log') this.replaceLog();
      else this.addShardThread(name);
      for (const actor of actors) this.ended(actor, 'its thread died');
    });
  }

  /** Members hear of the death before there is a successor, and open their logs anew by themselves. */
  private replaceLog(): void {
    for (const thread of this.node.threads.values()) thread.host.endedElsewhere(logActor, 'its thread died');
    this.startLog();
  }

  private threadFor(replica: ReplicaId): SimThread | undefined {
    const first = replica % shardThreads.length;
    return this.node.threads.get(`shard-${first}`) ?? this.node.threads.get(`shard-${1 - first}`);
  }

  private tellDown(replica: ReplicaId, reason: string): void {
    const target = at(this.name, replicaActor(replica));
    const main = this.node.threads.get('main');
    main?.host.signal(supervisorActor, { signal: 'down', target, reason });
    main?.wake();
  }
}
