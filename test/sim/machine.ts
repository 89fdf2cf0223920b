import { BeatBoard } from '../../src/actors/beat-board';
import { KeeperActor } from '../../src/actors/keeper';
import { MachineBeats } from '../../src/actors/machine-beats';
import { PlacementDriverActor } from '../../src/actors/placement-driver';
import { PlacementStore } from '../../src/actors/placement-driver-store';
import type { ReplicaHosts } from '../../src/actors/ports';
import { ReplicaActor } from '../../src/actors/replica';
import { replicaIndexPath } from '../../src/actors/replica-options';
import { SupervisorActor } from '../../src/actors/supervisor';
import { ThreadKeeper } from '../../src/actors/thread-keeper';
import { present } from '../../src/base/assert';
import { type NodeName, nodeName, type ReplicaId, replicaId } from '../../src/base/ids';
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
import type { ReplicaSpec } from '../../src/protocol/records';
import { destroyReplicaState } from '../../src/shard/destroy';
import { clearQuarantine } from '../../src/shard/quarantine';
import { sourceLimits } from '../../src/shard/snapshot-source';
import type { MemoryDisk } from '../../src/storage/memory-disk';
import type { FlatFile } from '../../src/vector/flat-index';
import { LaggingEngine } from './lagging-engine';
import { SimMachine } from './sim-machine';
import type { SimThread } from './sim-thread';
import { must } from './violation';

export const placementNodes: readonly NodeName[] = [nodeName('pd-1'), nodeName('pd-2'), nodeName('pd-3')];
const placementMembers = placementNodes.map((node, i) => ({ replica: replicaId(i + 1), node }));
const shardThreads = ['shard-0', 'shard-1'];
const newBoard = (): BeatBoard => new BeatBoard(BeatBoard.memory(shardThreads.length));
/** Comparisons and scrubs often enough that a run sees many. */
const auditOptions = { auditMs: 1_500, scrubRecords: 16 };
/** How long an index takes to load its file, in looks of its replica. */
const loadPolls = 3;
/** Graph files are written often enough that crashes fall between them. */
const graphOptions = {
  saveChangesMin: 3,
  saveChangesShare: 0,
  saveIntervalMs: 400,
  saveQuietMs: 50,
  saveOverdueMs: 2_000,
};
/** Longer than a supervisor waits before it starts a replica again. */
const afterlifeMsMax = 400;
const slowStartMsMax = 8_000;

/** One node of the placement driver. */
export class PlacementMachine extends SimMachine {
  actor: PlacementDriverActor | null = null;

  boot(): void {
    this.startLog();
    this.node.addThread('pd');
    this.spawn();
  }

  override ended(actor: string): void {
    if (actor === logActor) this.respawnLog();
    else this.respawn(actor, () => this.spawn());
  }

  private spawn(): void {
    const { cluster } = this.context;
    const { self } = this;
    this.actor = new PlacementDriverActor({
      cluster,
      self,
      members: placementMembers,
      state: this.disk.state,
      logWriter: at(this.name, logActor),
      flags: this.flags,
      options: { deadAfterMs: this.context.deadAfterMs },
    });
    const thread = this.node.threads.get('pd');
    thread?.host.spawn(placementActor, this.actor);
    thread?.wake();
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
  /** Ordered to start: one that is destroyed before its turn has come does not start. */
  private readonly starting = new Set<ReplicaId>();
  /** What this machine was ordered to destroy: a restart may find one of them half gone. */
  readonly destroyed = new Set<ReplicaId>();
  /** Graph files, which a crash leaves as they are: each was synced and renamed. */
  private readonly graphs = new Map<string, FlatFile>();
  engine = this.newEngine();
  /** Until when its graphs are behind. */
  lagsUntilMs = 0;
  private storeNumber = 0;
  /** Its disk has lost what it had synced, and it has not noticed yet. */
  private isDeceived = false;

  /** What it registers its store as; another one after each wipe. */
  get storeName(): string {
    return this.isDeceived ? 'a disk that lied' : this.storeIdentity();
  }

  private newEngine(): LaggingEngine {
    return new LaggingEngine(this.graphs, loadPolls, () => this.context.world.now < this.lagsUntilMs);
  }

  private storeIdentity(): string {
    return `store-${this.storeNumber}-of-${this.name}`;
  }

  override wipe(disk?: MemoryDisk): void {
    super.wipe(disk);
    this.graphs.clear();
    this.replicas.clear();
    this.storeNumber++;
  }

  /**
   * The machine, which is down, has a disk that lied: what it had synced is not all there, and its name still is. An empty
   * one had nothing to lose.
   */
  deceive(): void {
    const lying = this.disk.afterLie(this.context.world.random);
    if (lying.corruption === null && this.disk.isEmpty) return;
    this.context.world.note(`LIE ${this.name}`);
    this.context.world.tally.add('lie');
    this.isDeceived = true;
    this.disk = lying;
    this.faults.attach();
  }

  /** As a worker's process does: stores that hold less than their marks say are moved aside. */
  private retireIfCorrupt(): void {
    if (this.disk.corruption !== null) this.wipe();
    this.isDeceived = false;
  }

  /** A file that was written, synced and renamed is gone: its directory was never synced. */
  protected override losePower(): void {
    const { world, disk } = this.context;
    for (const path of [...this.graphs.keys()]) {
      if (!world.random.chance(disk.lostFileChance)) continue;
      world.tally.add('lostFile');
      this.graphs.delete(path);
    }
  }

  boot(): void {
    this.retireIfCorrupt();
    this.engine = this.newEngine();
    this.replicas.clear();
    this.startLog();
    this.keepers.clear();
    this.board = newBoard();
    const beats = new MachineBeats(this.context.cluster, this.tuning, this.board);
    this.node.addThread('link').host.spawn(beatsActor, beats);
    for (const name of shardThreads) this.addShardThread(name);
    this.node.addThread('main');
    this.spawnSupervisor();
  }

  private spawnSupervisor(): void {
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
      flags: this.flags,
    });
    const thread = this.node.threads.get('main');
    thread?.host.spawn(supervisorActor, supervisor);
    thread?.wake();
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
    this.starting.add(spec.replica);
    this.context.world.schedule(this.startDelayMs(), 'start replica', node, () => {
      if (!node.up || !this.starting.delete(spec.replica)) return;
      // A supervisor that started again asks for what runs already.
      if (this.replicas.has(spec.replica)) return;
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
        flags: this.flags,
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
      this.starting.delete(replica);
      this.destroyed.add(replica);
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

  /** A fault strikes the supervisor, which asks: it starts again and reads the tombstones anew. */
  forget(replica: ReplicaId): void {
    clearQuarantine(this.disk.state, replica);
  }

  /** An actor ended: its supervisor hears of it. */
  override ended(actor: string, reason: string): void {
    if (actor === logActor) return this.respawnLog();
    if (actor === supervisorActor) return this.respawn(actor, () => this.spawnSupervisor());
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

  /** It has stood still, and is replaced; what it had taken it still tries to write, once, and nobody hears of it. */
  overtakeLog(withinMs: number): void {
    const { world } = this.context;
    const thread = present(this.node.threads.get('log'), 'a log thread to overtake');
    world.tally.add('overtaken');
    world.note(`OVERTAKE ${this.name}/log`);
    thread.silenced = true;
    this.node.threads.delete('log');
    this.replaceLog();
    const untilMs = world.now + withinMs * world.random.float();
    thread.stallUntil(untilMs);
    thread.wake();
    world.schedule(withinMs, 'end of an overtaken thread', null, () => {
      thread.alive = false;
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
