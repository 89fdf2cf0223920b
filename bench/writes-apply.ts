import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clusterId, keyHash64, logIndex, replicaId, term } from '../src/base/ids';
import { encode } from '../src/protocol/codec';
import { type Point, shardCommandCodec, type WriteOptions } from '../src/protocol/commands';
import { flagRange } from '../src/protocol/flags';
import { hashSpaceEnd } from '../src/protocol/key-hash';
import { loadKeyHash } from '../src/protocol/node/xxh3';
import type { Entry } from '../src/protocol/raft-messages';
import { type DrawnKey, KeySession } from '../src/protocol/session-key';
import { ShardMachine } from '../src/shard/shard-machine';
import { openMachineStores } from '../src/storage/node/machine-stores';
import { createNativeEngine } from '../src/vector/node/native-engine';

/**
 * What applying costs one replica, alone: entries of 64-dimensional points over keys that mostly exist, as a gateway would
 * send them, into the real stores and the real index. Processor time, collector and compiler included.
 */
const dimension = 64;
const epoch = { version: 1, confVersion: 1 };
const startMs = 1_700_000_000_000;

/** Log entries as a gateway with `open` calls under way would cause them. */
class Entries {
  private readonly session = new KeySession('bench');
  private readonly drawn: DrawnKey[] = [];
  private seed = 1;
  private next = 1;

  constructor(
    private readonly batch: number,
    private readonly keys: number,
    private readonly open: number,
  ) {}

  take(): Entry {
    const index = this.next++;
    const ids = new Set<string>();
    while (ids.size < this.batch) ids.add(`key-${this.random()}`);
    const points = [...ids].map((id) => pointOf(id, index));
    const operation = { kind: 'upsert', points } as const;
    const options = this.optionsOf(startMs + index);
    const command = { kind: 'v2', epoch, timeMs: startMs + index, operation, options } as const;
    return { index: logIndex(index), term: term(1), type: 'command', data: encode(shardCommandCodec, command) };
  }

  private optionsOf(issuedMs: number): WriteOptions {
    const drawn = this.session.next();
    this.drawn.push(drawn);
    const finished = this.drawn.length > this.open ? this.drawn.shift() : undefined;
    if (finished !== undefined) this.session.finished(finished);
    return { key: drawn.key, issuedMs, windowMs: 150_000, conditions: [], returnPrevious: false };
  }

  private random(): number {
    this.seed = (Math.imul(this.seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.seed / 2 ** 32) * this.keys);
  }
}

function pointOf(id: string, index: number): Point {
  const vector = Float32Array.from({ length: dimension }, (_, i) => Math.sin(i + index));
  return { id, vector: new Uint8Array(vector.buffer), payload: new Uint8Array(0) };
}

/** Microseconds of processor time an entry. */
function run(machine: ShardMachine, entries: Entries, count: number, together: number): number {
  let micros = 0;
  for (let left = count; left > 0; left -= together) {
    const some = Array.from({ length: together }, () => entries.take());
    const before = process.cpuUsage();
    machine.apply(some);
    const { user, system } = process.cpuUsage(before);
    micros += user + system;
  }
  return micros / count;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      batch: { type: 'string', default: '32' },
      keys: { type: 'string', default: '3000' },
      entries: { type: 'string', default: '900' },
      together: { type: 'string', default: '4' },
      open: { type: 'string', default: '64' },
    },
  });
  const [batch, keys, count] = [Number(values.batch), Number(values.keys), Number(values.entries)];
  const folder = mkdtempSync(join(tmpdir(), 'vectron-apply-'));
  const stores = await openMachineStores(folder, { clusterId: clusterId('apply') });
  const shape = { key: folder, dimension, metric: 'euclidean', m: 16, efConstruction: 100, capacity: 0 } as const;
  const machine = new ShardMachine({
    replica: replicaId(1),
    dimension,
    flags: flagRange,
    level: flagRange.newest,
    range: { start: keyHash64(0n), end: keyHash64(hashSpaceEnd) },
    epoch,
    configuration: { voters: [replicaId(1)], votersOutgoing: [], learners: [] },
    keyHash: await loadKeyHash(),
    state: stores.stateStore,
    index: createNativeEngine().open(shape, null),
  });
  const entries = new Entries(batch, keys, Number(values.open));
  const figures = [1, 2, 3, 4].map(() => run(machine, entries, count, Number(values.together)).toFixed(0));
  console.log(`applying ${batch} points: ${figures.join(', ')} us of processor time; digest ${machine.digest()}`);
  await stores.close();
  rmSync(folder, { recursive: true });
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
