import { expect, test } from '@jest/globals';
import { utf8 } from '../../src/base/bytes';
import { Prng } from '../../src/base/prng';
import { flagRange } from '../../src/protocol/flags';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { FlatEngine } from '../../src/vector/flat-index';
import type { SearchOptions, VectorIndex } from '../../src/vector/ports';
import { commandOf, entryOf, indexOf, machineOf, pointOf, settleIndex, upsert, vectorOf } from './shard-helpers';

const random = new Prng(3);
const none = { includeVector: false, includePayload: false };

/** What the index is asked, in words. */
function spied(): { readonly machine: ShardMachine; readonly asked: string[] } {
  const asked: string[] = [];
  const index: VectorIndex = indexOf(new FlatEngine());
  const { search, exact } = index;
  index.search = (query, k, options: SearchOptions = {}) => {
    asked.push(`${k} ef ${options.ef}${options.quantised === false ? ' in float32' : ''}`);
    return search.call(index, query, k, options);
  };
  index.exact = (query, k, allowed) => {
    asked.push(`${k} exactly${allowed === undefined ? '' : ' of a set'}`);
    return exact.call(index, query, k, allowed);
  };
  const machine = machineOf(new MemoryStore(), index, { level: flagRange.newest });
  const points = Array.from({ length: 50 }, (_, n) => ({ ...pointOf(`p${n}`, random), payload: utf8(`{"n":${n}}`) }));
  machine.apply([entryOf(1, commandOf(upsert(...points)))]);
  settleIndex(machine);
  asked.length = 0;
  return { machine, asked };
}

test('how widely, and by what, a search looks is what was asked for', () => {
  const { machine, asked } = spied();
  const search = (fields: object): number =>
    machine.search({ vector: vectorOf(random), k: 5, ef: 0, exact: false, ...none, ...fields }).hits.length;
  const found = [{}, { ef: 300 }, { oversampling: 3 }, { rerank: 40 }, { rerank: 7, oversampling: 3, ef: 2 }].map(
    search,
  );
  found.push(search({ quantised: false }), search({ exact: true, rerank: 9 }));
  // FlatIndex.search() asks exact() in turn.
  expect(asked.filter((one) => !one.endsWith('exactly') || one.startsWith('9'))).toEqual([
    ...['5 ef 64', '5 ef 300', '15 ef 64', '40 ef 80', '15 ef 15'],
    ...['5 ef 64 in float32', '9 exactly'],
  ]);
  expect(found).toEqual([5, 5, 5, 5, 5, 5, 5]);
});
