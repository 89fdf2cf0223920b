import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { errorCatalogue } from '../../src/base/errors';
import { Prng } from '../../src/base/prng';
import { FlatEngine } from '../../src/vector/flat-index';
import { loadAddon } from '../../src/vector/node/native-engine';
import type { VectorIndex } from '../../src/vector/ports';
import { clusteredVectors } from './support';

/** `VECTRON_FUZZ_CALLS=1000000 VECTRON_FUZZ_SEED=7 npx jest vector/addon-fuzz` for more of it, and others. */
const calls = Number(process.env['VECTRON_FUZZ_CALLS'] ?? 2_000);
const seed = Number(process.env['VECTRON_FUZZ_SEED'] ?? 114);
const [dimension, checkEvery, idsMax] = [12, 500, 700];

type Call = (...args: readonly unknown[]) => unknown;
type Addon = Readonly<Record<string, Call>>;

function detached(length: number): Float32Array {
  const array = new Float32Array(length);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

interface Resizable extends ArrayBuffer {
  resize(bytes: number): void;
}
const ResizableBuffer = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;

/** A typed array whose buffer has shrunk under it. */
function cut(): Float32Array {
  const buffer = new ResizableBuffer(64, { maxByteLength: 64 });
  const array = new Float32Array(buffer, 16, dimension);
  buffer.resize(8);
  return array;
}

describe('the addon, called by whoever knows no better', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-fuzz-'));
  const prng = new Prng(seed);
  const vector = clusteredVectors(prng, dimension);
  /** What the addon must answer like. */
  const model: VectorIndex = new FlatEngine().open(
    { key: 'model', dimension, metric: 'euclidean', m: 8, efConstruction: 60, capacity: 32 },
    null,
  );
  let addon: Addon;
  let index: unknown;
  let victims = 0;
  /** Of other indexes, most of them ended. */
  const closed: unknown[] = Array.from({ length: 21 });

  const call = (name: string, ...args: readonly unknown[]): unknown => (addon[name] as Call)(...args);
  const opened = (key: string, path = '', disk = ''): unknown =>
    call('open', key, dimension, 1, 8, 60, 64, 100, path, disk, 1);
  const id = (): string => `p${prng.between(0, idsMax)}`;
  const victim = (): unknown => {
    const handle = opened(`victim-${victims++}`);
    call('put', handle, 'a', 1, vector());
    closed[prng.between(0, 20)] = handle;
    return handle;
  };

  beforeAll(() => {
    loadAddon();
    addon = require(join(process.cwd(), 'native/build/Release/vectron_native.node')) as Addon;
    index = opened('fuzzed');
    writeFileSync(join(folder, 'not-a-graph'), 'what is this');
  });
  afterAll(() => {
    call('drop', 'fuzzed');
    rmSync(folder, { recursive: true });
  });

  /** Of the same kind as an index's, but another addon's. */
  const foreign: unknown = require('@nxtedition/rocksdb/binding.js').db_init(join(folder, 'foreign'));

  /** What a right call passes. Those that end an index get one of their own. */
  const right: Readonly<Record<string, () => unknown[]>> = {
    open: () => [`victim-${victims++}`, dimension, 1, 8, 60, 64, 100, '', prng.chance(0.2) ? folder : '', prng.between(0, 1)],
    put: () => [index, id(), prng.between(0, 1e6), vector()],
    remove: () => [index, id(), prng.between(0, 1e6)],
    versionOf: () => [index, id()],
    labelOf: () => [index, id()],
    idOf: () => [index, prng.between(0, idsMax)],
    link: () => [index, prng.between(0, 300)],
    loaded: () => [index],
    linkInBackground: () => [index],
    growInBackground: () => [index],
    // What is forgotten may come again in an older version.
    forgetRemovals: () => [victim(), prng.between(0, 1e6)],
    takeBuildFailure: () => [index],
    search: () => [
      index,
      vector(),
      prng.between(1, 20),
      new Uint32Array(30).fill(0x5555aaaa),
      new Float32Array(20),
      figures(),
    ],
    stats: () => [index, new Float64Array(8)],
    setAppliedIndex: () => [index, prng.between(0, 1e9)],
    save: () => [index, join(folder, 'graph')],
    saveInBackground: () => [index, join(folder, 'background')],
    takeSaved: () => [index],
    destroy: () => [victim()],
    drop: () => [`victim-${prng.between(0, victims)}`],
    bytes: () => [],
    extractFaiss: () => [join(folder, 'graph'), join(folder, 'faiss')],
  };
  const figures = (): Float64Array =>
    Float64Array.of(
      prng.between(0, 100),
      prng.between(0, 1),
      prng.between(0, 2),
      prng.between(0, 3),
      prng.between(0, 50),
      prng.between(0, 1),
    );

  const numbers = [
    Number.NaN,
    -1,
    -0,
    0,
    0.5,
    1,
    3,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    1e300,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ];
  const texts = (): unknown[] => [
    '',
    'p1\0p2',
    '\ud800',
    'é\u{1f600}',
    'x'.repeat(prng.pick([512, 513, 70_000])),
    '/',
    folder,
    join(folder, 'not-a-graph'),
    join(folder, 'no', 'where'),
    `${folder}/graph\0`,
    '.'.repeat(5_000),
  ];
  const arrays = (): unknown[] => {
    const length = prng.pick([0, 1, dimension - 1, dimension, dimension + 1, 20, 4_096]);
    const filled = new Float32Array(length).fill(
      prng.pick([Number.NaN, Number.POSITIVE_INFINITY, 3e38, -1e30, 1e-45, 0]),
    );
    return [
      filled,
      new Float64Array(length).fill(prng.pick(numbers)),
      new Uint32Array(length).fill(prng.pick([0, 1, 0xffffffff])),
      new Int32Array(length),
      new Uint8Array(length),
      new BigInt64Array(length),
      new Float32Array(new SharedArrayBuffer(4 * length)),
      detached(length),
      cut(),
      Array.from(filled),
      new DataView(new ArrayBuffer(64)),
      new ArrayBuffer(64),
      new Proxy(filled, {}),
    ];
  };
  const others = (): unknown[] => [
    undefined,
    null,
    true,
    7n,
    Symbol('s'),
    {},
    () => 1,
    new Date(),
    Object.create(null),
    { length: dimension },
    {
      valueOf: () => {
        throw new Error('asked');
      },
    },
    prng.chance(0.1) ? victim() : prng.pick(closed),
    foreign,
  ];
  const wrong = (): unknown => prng.pick(prng.pick([numbers, texts(), arrays(), others()]));

  /** A right call with something about it changed, or nothing. */
  function drawn(name: string): unknown[] {
    const args = (right[name] as () => unknown[])();
    for (let changes = prng.pick([0, 1, 1, 1, 2, 5]); changes > 0; changes--) {
      const kind = prng.between(0, 11);
      if (kind === 0) args.pop();
      else if (kind === 1) args.push(wrong());
      else if (args.length > 0) args[prng.between(0, args.length - 1)] = wrong();
    }
    return args;
  }

  /** Whether it succeeded. What it throws must have a code of the catalogue. */
  function tried(name: string, args: readonly unknown[]): boolean {
    try {
      if (prng.chance(0.05)) Reflect.construct(addon[name] as never, args);
      else call(name, ...args);
      return true;
    } catch (thrown) {
      const { code } = thrown as { code?: string };
      if (code === undefined || !Object.hasOwn(errorCatalogue, code)) throw thrown;
      return false;
    }
  }

  function mirror(name: string, args: readonly unknown[]): void {
    if (args[0] !== index) return;
    const pointId = Buffer.from(String(args[1])).toString();
    if (name === 'put') model.put(pointId, args[2] as number, args[3] as Float32Array);
    if (name === 'remove') model.remove(pointId, args[2] as number);
  }

  function searched(exact: boolean, query: Float32Array): readonly string[] {
    const asked = Float64Array.of(200, exact ? 1 : 0, 0, 0, 0, 0);
    return call('search', index, query, 10, new Uint32Array(0), new Float32Array(10), asked) as readonly string[];
  }

  function check(): void {
    const stats = new Float64Array(8);
    call('stats', index, stats);
    expect(stats[0]).toBe(model.size);
    let found = 0;
    for (let i = 0; i < 10; i++) {
      const query = vector();
      const exact = searched(true, query);
      expect(exact).toEqual(model.search(query, 10).ids);
      found += searched(false, query).filter((hit) => exact.includes(hit)).length;
    }
    expect(found).toBeGreaterThanOrEqual(Math.min(100, 10 * model.size) * 0.95);
  }

  test('every function is among those called', () => {
    const functions = Object.keys(addon).filter((name) => typeof addon[name] === 'function');
    expect(Object.keys(right).sort()).toEqual(functions.sort());
  });

  test('what would harm a file, or is no index, is refused', () => {
    call('save', index, join(folder, 'kept'));
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    expect(() => call('extractFaiss', join(folder, 'kept'), join(folder, '.', 'kept'))).toThrow(refused);
    expect(() => call('save', index, `${join(folder, 'cut')}\0off`)).toThrow(refused);
    expect(() => call('versionOf', foreign, 'a')).toThrow(refused);
    call('extractFaiss', join(folder, 'kept'), join(folder, 'faiss'));
  });

  test(
    `${calls} calls from seed ${seed}: a coded error or a success, and the index answers right`,
    () => {
      const names = Object.keys(right);
      const succeeded = new Map(names.map((name) => [name, 0]));
      const refused = new Map(succeeded);
      for (let i = 1; i <= calls; i++) {
        const name = prng.chance(0.4) ? 'put' : prng.pick(names);
        const args = drawn(name);
        const done = tried(name, args);
        const counts = done ? succeeded : refused;
        counts.set(name, (counts.get(name) ?? 0) + 1);
        if (done) mirror(name, args);
        if (i % checkEvery === 0) check();
      }
      for (const name of names) expect([name, succeeded.get(name)]).not.toEqual([name, 0]);
      for (const name of names.filter((other) => other !== 'bytes'))
        expect([name, refused.get(name)]).not.toEqual([name, 0]);
    },
    60_000 + calls * 20,
  );
});
