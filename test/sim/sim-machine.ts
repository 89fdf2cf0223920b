import { LogWriter } from '../../src/actors/log-writer';
import { type RaftMemberTuning, raftMemberTuning } from '../../src/actors/raft-member-options';
import type { ClusterId, NodeName, ReplicaId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import { logActor } from '../../src/protocol/envelope';
import { type FlagRange, flagRange } from '../../src/protocol/flags';
import type { KeyHash } from '../../src/protocol/key-hash';
import { MemoryDisk } from '../../src/storage/memory-disk';
import { DiskHooks } from './disk-hooks';
import type { DiskOptions, LogOptions } from './options';
import { SimNode, type SimWorld } from './world';

const stateSyncMs = 1_000;
/** As a thread's owner does after its first back-off. */
const respawnMs = 50;
/** Synced batches that a disk which lies may lose. */
const losableMax = 64;

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
  /** What the program of a machine supports at first. */
  readonly firstProgram: () => FlagRange;
}

/** A process with disks: they outlive its crashes, nothing else does. */
export abstract class SimMachine {
  disk = new MemoryDisk(losableMax);
  node: SimNode;
  readonly faults: DiskHooks;
  /** The levels that the program installed here supports. */
  private program: FlagRange;

  constructor(
    readonly context: SimContext,
    readonly name: NodeName,
  ) {
    this.program = context.firstProgram();
    this.faults = new DiskHooks(this);
    this.faults.attach();
    this.node = new SimNode(context.world, name);
  }

  abstract boot(): void;
  /** Whether a member of this machine takes itself for a leader. */
  abstract get leads(): boolean;

  /** Set in the middle of a write: the machine dies before anything else happens. */
  get dying(): boolean {
    return this.faults.dying;
  }
  /** A write or sync has failed. The process goes on, must not acknowledge anything, and waits for a restart. */
  get sick(): boolean {
    return this.faults.sick || this.disk.poisoned;
  }

  /** The machine, which is down, gets other disks: empty ones, or those that it says it has. */
  wipe(disk = new MemoryDisk(losableMax)): void {
    this.context.world.note(`WIPE ${this.name}`);
    this.disk = disk;
    this.faults.attach();
  }

  get flags(): FlagRange {
    return this.program;
  }

  get isOutOfDate(): boolean {
    return this.program.newest < flagRange.newest;
  }

  /** The machine, which is down, starts with the newest program from now on. */
  upgrade(): void {
    this.context.world.note(`UPGRADE ${this.name}`);
    this.context.world.tally.add('upgrade');
    this.program = flagRange;
  }

  protected get tuning(): RaftMemberTuning {
    const { windowBytes: logWindowBytes, chunkBytes, ...log } = this.context.log;
    const { sleepAfterTicks, applyBytesMax, inflightBytesMax } = log;
    const snapshotWindowBytes = 3 * chunkBytes;
    const sizes = { logWindowBytes, snapshotWindowBytes, applyBytesMax, inflightBytesMax };
    return { ...raftMemberTuning, ...sizes, sleepAfterTicks };
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
    if (isPower) this.losePower();
    this.faults.reset();
  }

  /** What else than its stores a loss of power takes from it. */
  protected losePower(): void {
    return;
  }

  restart(): void {
    this.context.world.note(`START ${this.name}`);
    this.node = new SimNode(this.context.world, this.name);
    this.boot();
  }

  /** Now, or in the middle of the next write to a disk. */
  crashSoon(): void {
    if (this.context.world.random.chance(this.context.disk.crashInWriteChance)) this.faults.arm('crash');
    else this.crash();
  }

  /** Work of the process outside of all actors; false: a fault that was due struck it. */
  protected survives(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (thrown) {
      if (!this.dying && !this.faults.isExpected(thrown)) throw thrown;
      return false;
    }
  }

  /** An actor of this machine ended, by itself or by what it threw. */
  abstract ended(actor: string, reason: string): void;

  protected startLog(): void {
    this.node.addThread('log', this.context.disk.syncMeanMs);
    this.spawnLog();
  }

  private spawnLog(): void {
    const thread = this.node.threads.get('log');
    const state = this.disk.stateBarrier;
    thread?.host.spawn(logActor, new LogWriter({ engine: this.disk.openLog(), state, stateSyncMs }));
    thread?.wake();
  }

  /** Its thread lives on: the actor is started again there, once everybody has heard of its end. */
  protected respawn(actor: string, spawn: () => void): void {
    const { node } = this;
    this.context.world.schedule(respawnMs, 'start actor again', node, () => {
      if (!node.up || node.threadOf(actor) !== undefined) return;
      for (const thread of node.threads.values()) thread.host.endedElsewhere(actor, 'it ended');
      spawn();
    });
  }

  protected respawnLog(): void {
    this.respawn(logActor, () => this.spawnLog());
  }
}
