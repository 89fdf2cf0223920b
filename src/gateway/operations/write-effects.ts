import { assert } from '../../base/assert';
import type { CollectionId, LogIndex, ShardId } from '../../base/ids';
import { previousBytesMax } from '../../base/limits';
import type { StoredPoint } from '../../protocol/data-messages';
import type { WriteAnswer } from '../calls';
import type { Reply } from '../group-calls';

/** Puts the answers to a write's parts together. */
export class WriteEffects {
  private count = 0;
  private readonly versions: number[];
  private readonly newest = new Map<ShardId, LogIndex>();
  private readonly previous: StoredPoint[] = [];
  private previousBytes = 0;
  private previousOmitted = 0;
  private replayed = true;

  constructor(
    private readonly collection: CollectionId,
    count: number,
  ) {
    this.versions = Array.from({ length: count }, () => 0);
  }

  add(reply: Reply, positions: readonly number[]): void {
    assert(reply.kind === 'data.written', () => `a write was answered by ${reply.kind}`);
    const { shard, index, affected, versions, previous, previousOmitted, replayed } = reply;
    this.count += affected;
    this.replayed &&= replayed;
    this.previousOmitted += previousOmitted;
    positions.forEach((position, i) => {
      this.versions[position] = versions[i] ?? index;
    });
    if (index > (this.newest.get(shard) ?? 0)) this.newest.set(shard, index);
    for (const point of previous) this.keep(point);
  }

  get answer(): WriteAnswer {
    const { collection, count, versions, previous, previousOmitted, replayed } = this;
    const commit = [...this.newest].map(([shard, index]) => ({ collection, shard, index }));
    return { count, commit, versions, previous, previousOmitted, replayed };
  }

  private keep(point: StoredPoint): void {
    this.previousBytes += point.vector.length + point.payload.length;
    if (this.previousBytes <= previousBytesMax) this.previous.push(point);
    else this.previousOmitted++;
  }
}
