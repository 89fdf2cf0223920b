import type { ReplicaId, ShardId } from '../../src/base/ids';
import type { PlacementMachine as PlacementRecords } from '../../src/placement/machine';
import { sameEpoch } from '../../src/protocol/ids';
import type { Member, ShardRecord } from '../../src/protocol/records';
import { must } from './violation';

/**
 * Watches the placement driver's records, revision by revision, as the first of its nodes applies them:
 *
 *  1. The shards of a collection tile the hash space, without a gap or an overlap.
 *  2. A shard's epoch never falls, and it loses no member without it.
 *  3. A replica id stands for one shard on one worker, for ever: none is given away twice.
 *  4. No worker holds two replicas of a shard for longer than it takes to replace one there by another.
 *
 * It may see several revisions at once: that a change settled and that the next move has begun.
 */
export class PlacementChecker {
  private revision = 0;
  private readonly shards = new Map<number, ShardRecord>();
  /** Who its members were when its epoch rose last. */
  private readonly settled = new Map<number, ReadonlySet<ReplicaId>>();
  private readonly homes = new Map<ReplicaId, string>();

  observe(records: PlacementRecords): void {
    if (records.revision <= this.revision) return;
    this.revision = records.revision;
    const byCollection = new Map<number, ShardRecord[]>();
    for (const shard of records.shards()) {
      byCollection.set(shard.collection, [...(byCollection.get(shard.collection) ?? []), shard]);
      if (this.shards.get(shard.id) !== shard) this.changed(shard, votersOf(shard, records));
    }
    for (const shards of byCollection.values()) checkTiling(shards);
  }

  private changed(shard: ShardRecord, voters: readonly Member[]): void {
    const before = this.shards.get(shard.id);
    this.shards.set(shard.id, shard);
    if (before !== undefined) checkEpochs(before, shard, this.settled.get(shard.id) ?? new Set());
    if (before === undefined || !sameEpoch(before.epoch, shard.epoch)) {
      this.settle(shard.id, voters);
    }
    for (const { replica, worker } of shard.members) {
      const home = `shard ${shard.id} on worker ${worker}`;
      const known = this.homes.get(replica) ?? home;
      this.homes.set(replica, home);
      must(known === home, () => `replica ${replica} was ${known}, and is ${home}`);
    }
  }

  private settle(id: ShardId, voters: readonly Member[]): void {
    const workers = new Set(voters.map(({ worker }) => worker));
    must(workers.size === voters.length, () => `shard ${id} has settled with two replicas on one worker`);
    this.settled.set(id, new Set(voters.map(({ replica }) => replica)));
  }
}

/** The members without those that a move under way brings in. */
function votersOf(shard: ShardRecord, records: PlacementRecords): readonly Member[] {
  const move = records.move(shard.id);
  if (move === null) return shard.members;
  return shard.members.filter(
    ({ replica }) => replica === move.outgoing || (replica !== move.incoming && move.target.includes(replica)),
  );
}

/** One that moves in is a member of the records before it is one of the group. */
function checkEpochs(before: ShardRecord, after: ShardRecord, settled: ReadonlySet<ReplicaId>): void {
  const [old, now] = [before.epoch, after.epoch];
  must(now.version >= old.version && now.confVersion >= old.confVersion, () => `shard ${after.id}: its epoch fell`);
  const left = [...settled].filter((replica) => !after.members.some((member) => member.replica === replica));
  must(left.length === 0 || !sameEpoch(old, now), () => `shard ${after.id} lost replicas ${left} under the same epoch`);
}

function checkTiling(shards: readonly ShardRecord[]): void {
  const inOrder = [...shards].sort((a, b) => (a.range.start < b.range.start ? -1 : 1));
  let next = 0n;
  for (const { id, range } of inOrder) {
    must(range.start === next, () => `shard ${id} begins at ${range.start}, the one before it ends before ${next}`);
    next = range.end + 1n;
  }
  must(next === 2n ** 64n, () => `the shards of collection ${shards[0]?.collection} end before ${next}`);
}
