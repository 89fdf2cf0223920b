import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../../src/base/prng';
import { createNativeEngine, extractFaissFile } from '../../src/vector/node/native-engine';

const [dimension, count, queryCount, k, ef] = [24, 2_000, 40, 10, 200] as const;
const installMsMax = 180_000;
/** The script is not compiled: it lies beside this test's source. */
const script = join(process.cwd(), 'test/vector/read_faiss.py');
/** Debian's own comes first: what is found by name may be another that has no packages of the system. */
const pythons = ['/usr/bin/python3', 'python3'];

/** Another that is to read as well, such as one with faiss-cpu from PyPI in a folder of its own. */
const further = process.env['VECTRON_FAISS_PYTHON'];

const runs = (command: string, ...args: readonly string[]) =>
  spawnSync(command, args, { encoding: 'utf8', timeout: installMsMax });
const pythonWithFaiss = (): string | undefined =>
  pythons.find((python) => runs(python, '-c', 'import faiss, numpy').status === 0);

/** A Python that has FAISS: installed from Debian, or from PyPI beside the test, where that can be. */
function readyPython(folder: string): string | undefined {
  const found = pythonWithFaiss();
  if (found !== undefined) return found;
  if (process.getuid?.() === 0) {
    runs('apt-get', 'install', '-y', '--no-install-recommends', 'python3-faiss');
    const installed = pythonWithFaiss();
    if (installed !== undefined) return installed;
  }
  const own = join(folder, 'venv');
  if (runs('python3', '-m', 'venv', own).status !== 0) return undefined;
  const python = join(own, 'bin', 'python');
  return runs(python, '-m', 'pip', 'install', '-q', 'faiss-cpu', 'numpy').status === 0 ? python : undefined;
}

beforeAll(() => {
  if (further === undefined)
    process.stderr.write(
      'skipped: faiss-cpu of PyPI as a second reader, as VECTRON_FAISS_PYTHON names no Python that has it\n',
    );
});

describe.each(['euclidean', 'cosine', 'dot'] as const)('an exported graph (%s)', (metric) => {
  test(
    'is read by FAISS, which finds the same neighbours',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'vectron-faiss-'));
      try {
        const python = readyPython(folder);
        if (python === undefined) {
          process.stderr.write('skipped: neither python3-faiss nor faiss-cpu can be installed here\n');
          return;
        }
        const prng = new Prng(24);
        const vector = () => Float32Array.from({ length: dimension }, () => prng.gaussian());
        const engine = createNativeEngine({ graphThreshold: 100 });
        const options = { key: folder, dimension, metric, m: 16, efConstruction: 200, capacity: count } as const;
        const index = engine.open(options, null);
        for (let i = 0; i < count; i++) index.put(`p${i}`, 1, vector());
        while (index.link(100_000) > 0);
        index.save(join(folder, 'graph'));
        extractFaissFile(join(folder, 'graph'), join(folder, 'index.faiss'));
        const queries = Array.from({ length: queryCount }, vector);
        writeFileSync(join(folder, 'queries'), Buffer.concat(queries.map((query) => new Uint8Array(query.buffer))));
        const args = [join(folder, 'index.faiss'), join(folder, 'queries'), ...[dimension, k, ef].map(String)];
        const found = queries.map((query) => index.search(query, k, { ef }).ids);
        for (const reader of further === undefined ? [python] : [python, further]) {
          const read = runs(reader, script, ...args);
          expect(read.stderr).toBe('');
          const answer = JSON.parse(read.stdout) as { count: number; labels: number[][] };
          expect(answer.count).toBe(count);
          const theirs = answer.labels.map((labels) => labels.map((row) => `p${row}`));
          const same = found.flatMap((ids, q) => ids.filter((id) => theirs[q]?.includes(id))).length;
          // Both walk: at this ef either may miss one in a hundred.
          expect(same).toBeGreaterThanOrEqual(0.99 * queryCount * k);
        }
        index.destroy();
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    2 * installMsMax,
  );
});
