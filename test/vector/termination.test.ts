import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import { seededPause } from '../support/pause';
import { clusteredVectors } from './support';

/** `VECTRON_TERMINATIONS=2000 npx jest vector/termination` for the long run. */
const terminations = Number(process.env['VECTRON_TERMINATIONS'] ?? 200);

describe('handles outlive threads', () => {
  test(
    `${terminations} threads terminated at random moments leave the process alive and the index whole`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'vectron-terminate-'));
      const prng = new Prng(5);
      const options = {
        key: 'shared',
        dimension: 16,
        metric: 'euclidean',
        m: 8,
        efConstruction: 40,
        capacity: 100,
      } as const;
      const engine = createNativeEngine({ graphThreshold: 300 });
      const make = clusteredVectors(prng, 16);
      const index = engine.open(options, null);
      for (let i = 0; i < 1_000; i++) index.put(`p${i}`, 1, make());
      const start = async (seed: number, writes: boolean): Promise<Worker> => {
        const path = join(folder, 'graph');
        const worker = new Worker(join(__dirname, 'terminated-worker.js'), {
          workerData: { options, seed, writes, path },
        });
        await once(worker, 'message');
        return worker;
      };
      for (let round = 1; round <= terminations / 2; round++) {
        const workers = await Promise.all([start(2 * round, true), start(2 * round + 1, false)]);
        await seededPause(prng, 0, 12);
        await Promise.all(workers.map((worker) => worker.terminate()));
        const k = Math.min(10, index.size);
        expect(index.search(make(), k, { ef: 40 }).ids.length).toBe(k);
      }
      // Nobody else is left: everything can be checked.
      while (index.link(100_000) > 0);
      expect(index.size).toBeGreaterThanOrEqual(1_000);
      const all = index.exact(make(), 10_000).ids;
      expect(new Set(all).size).toBe(index.size);
      for (const id of all) expect(index.versionOf(id)).toBeGreaterThan(0);
      index.destroy();
      rmSync(folder, { recursive: true });
    },
    2_000 * terminations,
  );
});
