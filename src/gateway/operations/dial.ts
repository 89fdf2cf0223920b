import { type LogIndex, logIndex, type ShardId } from '../../base/ids';
import type { MessageOf } from '../../protocol/messages';
import type { CollectionRecord } from '../../protocol/records';
import type { ReadDial, ShardRead } from '../calls';
import type { Ask } from '../group-calls';
import { askOf, type Core } from './core';

/** What a shard answers to a read. */
export type AnsweredRead = MessageOf<
  'data.got' | 'data.found' | 'data.selected' | 'data.queried' | 'data.tunedQueried'
>;

type ReadFields = Pick<MessageOf<'data.get'>, 'level' | 'minIndex' | 'stalenessMs'>;

/** A read's level as its shards are asked for it (DESIGN D12). */
export interface Dial {
  readonly ask: Ask;
  fieldsFor(shard: ShardId): ReadFields;
}

/**
 * Each shard is held to the newest of its own tokens. A token of a shard that is no more (it was split or merged) tells
 * nothing of those in its place, so that then every shard is read linearizably, which any token is satisfied by.
 */
export function dialOf(core: Core, collection: CollectionRecord, read: ReadDial): Dial {
  const { level, stalenessMs } = read;
  const tokens = read.tokens.filter((token) => token.collection === collection.id);
  const floors = new Map<ShardId, LogIndex>();
  for (const { shard, index } of tokens) {
    const floor = floors.get(shard);
    if (floor === undefined || index > floor) floors.set(shard, index);
  }
  const known = new Set(core.table.shardsOf(collection.id)?.map((shard) => shard.id) ?? []);
  const isLost = [...floors.keys()].some((shard) => !known.has(shard));
  const base = isLost ? 'linearizable' : level;
  return {
    ask: askOf(base),
    fieldsFor: (shard) => {
      const isNew = tokens.length > 0 && !known.has(shard);
      return { level: isNew ? 'linearizable' : base, minIndex: floors.get(shard) ?? logIndex(0), stalenessMs };
    },
  };
}

/** What each shard achieved; of a shard that was asked in parts, the oldest part. */
export class Served {
  private readonly shards = new Map<ShardId, ShardRead>();

  constructor(private readonly dial: Dial) {}

  add({ shard, appliedIndex, ageMs }: AnsweredRead): void {
    const { level } = this.dial.fieldsFor(shard);
    const other = this.shards.get(shard);
    if (other === undefined || appliedIndex < other.appliedIndex) {
      this.shards.set(shard, { shard, level, appliedIndex, ageMs });
    }
  }

  get list(): readonly ShardRead[] {
    return [...this.shards.values()].sort((a, b) => a.shard - b.shard);
  }
}
