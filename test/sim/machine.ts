import { LogWriter } from '../../src/actors/log-writer';
import { PlacementDriverActor } from '../../src/actors/placement-driver';
import { PlacementStore } from '../../src/actors/placement-driver-store';
import type { ReplicaHosts } from '../../src/actors/ports';
import { type RaftMemberTuning, raftMemberTuning } from '../../src/actors/raft-member-options';
import { ReplicaActor } from '../../src/actors/replica';
import { SupervisorActor } from '../../src/actors/supervisor';
import { type ClusterId, type NodeName, nodeName, type ReplicaId, replicaId } from '../../src/base/ids';
import { at, lanes, logActor, placementActor, replicaActor, supervisorActor } from '../../src/protocol/envelope';
import type { KeyHash } from '../../src/protocol/key-hash';
import type { ReplicaSpec } from '../../src/protocol/records';
import { destroyReplicaState } from '../../src/shard/shard-machine';
import { sourceLimits } from '../../src/shard/snapshot-source';
import { MemoryDisk } from '../../src/storage/memory-disk';
import { FlatEngine } from '../../src/vector/flat-index';
import type { DiskOptions, LogOptions } from './options';
import { SimNode, type SimThread, type SimWorld } from './world';

export const placementNodes: readonly NodeName[] = [nodeName('pd-1'), nodeName('pd-2'), nodeName('pd-3')];
const placementMembers = placementNodes.map((node, i) => ({ replica: replicaId(i + 1), node }));
const shardThreadCount = 2;
const stateSyncMs = 1_000;
/** Longer than a supervisor waits before it starts a replica again. */
const afterlifeMsMax = 400;

/** What every simulated process of a run shares. */
export interface SimContext {
  readonly world: SimWorld;
  readonly cluster: ClusterId;
  readonly keyHash: KeyHash;
  readonly disk: DiskOptions;
  readonly log: LogOptions;
}

/** A process with disks: they outlive its crashes, nothing else does. */
abstract class SimMachine {
  readonly disk = new MemoryDisk();
  node: SimNode;
  /** Set by a disk hook in the middle of a write: the machine dies before anything else happens. */
  dying = false;
  private armed = false;

  constructor(
    readonly context: SimContext,
    readonly name: NodeName,
  ) {
    this.disk.log.hook = () => this.maybeDie();
    this.disk.state.hook = () => this.maybeDie();
    this.node = new SimNode(context.world, name);
  }

  abstract boot(): void;

  protected get tuning(): RaftMemberTuning {
    return { ...raftMemberTuning, logWindowBytes: this.context.log.windowBytes };
  }

  get up(): boolean {
    return this.node.up;
  }

  /** Power is lost: what was not synced may be gone. */
  crash(): void {
    this.context.world.note(`CRASH ${this.name}`);
    this.node.kill();
    this.disk.crash(this.context.world.random);
    this.armed = false;
    this.dying = false;
  }

  restart(): void {
    this.context.world.note(`START ${this.name}`);
    this.node = new SimNode(this.context.world, this.name);
    this.boot();
  }

  /** Now, or in the middle of the next write to a disk. */
  crashSoon(): void {
    if (this.context.world.random.chance(this.context.disk.crashInWriteChance)) this.armed = true;
    else this.crash();
  }

  /** A crash that has not come yet will not come. */
  disarm(): void {
    this.armed = false;
  }

  private maybeDie(): void {
    if (!this.armed) return;
    this.armed = false;
    this.dying = true;
    throw new Error('the machine lost power in the middle of a write');
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
    });
    this.node.addThread('pd').host.spawn(placementActor, this.actor);
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

/** A worker: supervisor, log writer, shard threads with replicas. */
export class WorkerMachine extends SimMachine implements ReplicaHosts {
  readonly replicas = new Map<ReplicaId, { readonly actor: ReplicaActor; readonly spec: ReplicaSpec }>();
  engine = new FlatEngine();

  boot(): void {
    this.engine = new FlatEngine();
    this.replicas.clear();
    this.startLog();
    for (let i = 0; i < shardThreadCount; i++) this.node.addThread(`shard-${i}`);
    const supervisor = new SupervisorActor({
      cluster: this.context.cluster,
      node: this.name,
      address: '',
      zone: '',
      rack: '',
      storeIncarnation: `store-of-${this.name}`,
      placementNodes,
      hosts: this,
      links: { setPeers: () => undefined },
      logWriter: at(this.name, logActor),
    });
    this.node.addThread('main').host.spawn(supervisorActor, supervisor);
  }

  start(spec: ReplicaSpec): void {
    const { node } = this;
    this.context.world.schedule(0.5, 'start replica', node, () => {
      if (!node.up) return;
      const thread = this.threadFor(spec.replica);
      if (thread === undefined) return this.tellDown(spec.replica, 'its thread is gone');
      const actor = new ReplicaActor(spec, {
        state: this.disk.state,
        engine: this.engine,
        keyHash: this.context.keyHash,
        logWriter: at(this.name, logActor),
        supervisor: at(this.name, supervisorActor),
        indexDirectory: null,
        options: { raft: this.tuning, snapshotLimits: { ...sourceLimits, chunkBytes: this.context.log.chunkBytes } },
      });
      this.replicas.set(spec.replica, { actor, spec });
      thread.host.spawn(replicaActor(spec.replica), actor);
      thread.wake();
    });
  }

  destroy(replica: ReplicaId): void {
    const { node } = this;
    this.context.world.schedule(0.5, 'destroy replica', node, () => {
      if (!node.up) return;
      node.threadOf(replicaActor(replica))?.host.stop(replicaActor(replica), 'destroyed');
      this.replicas.delete(replica);
      destroyReplicaState(this.disk.state, replica);
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
    const thread = this.node.threads.get(name);
    if (thread === undefined) return;
    this.context.world.note(`KILL THREAD ${this.name}/${name}`);
    const actors = thread.host.names();
    thread.alive = false;
    const { random } = this.context.world;
    if (random.chance(0.5)) thread.afterlifeMs = random.float() * afterlifeMsMax;
    this.node.threads.delete(name);
    const { node } = this;
    this.context.world.schedule(1, 'thread exit', node, () => {
      if (!node.up) return;
      if (name === 'log') this.replaceLog();
      else this.node.addThread(name);
      for (const actor of actors) this.ended(actor, 'its thread died');
    });
  }

  /** Members hear nothing more from a log writer that died, so they begin anew with its successor. */
  private replaceLog(): void {
    this.startLog();
    for (const { spec } of [...this.replicas.values()]) {
      const actor = replicaActor(spec.replica);
      this.node.threadOf(actor)?.host.stop(actor, 'its log writer died');
    }
  }

  private threadFor(replica: ReplicaId): SimThread | undefined {
    const first = replica % shardThreadCount;
    return this.node.threads.get(`shard-${first}`) ?? this.node.threads.get(`shard-${1 - first}`);
  }

  private tellDown(replica: ReplicaId, reason: string): void {
    const target = at(this.name, replicaActor(replica));
    const main = this.node.threads.get('main');
    main?.host.signal(supervisorActor, { signal: 'down', target, reason });
    main?.wake();
  }
}
