import { Prng } from '../../src/base/prng';
import { admits, predictedBytes } from '../../src/vector/capacity';
import { createNativeEngine } from '../../src/vector/node/native-engine';

describe('memory that is predicted', () => {
  test.each([
    { dimension: 8, m: 8, points: 3_000 },
    { dimension: 128, m: 16, points: 2_000 },
    { dimension: 768, m: 16, points: 1_000 },
    { dimension: 768, m: 16, points: 1_000, quantisation: 'none' as const },
  ])('is about what the index measures: %j', (shape) => {
    const { dimension, m, points, quantisation = 'int8' } = shape;
    const random = new Prng(4);
    const engine = createNativeEngine();
    const key = `capacity-${dimension}-${quantisation}`;
    const tuning = { metric: 'euclidean', m, efConstruction: 20, capacity: 64, quantisation } as const;
    const index = engine.open({ key, dimension, ...tuning }, null);
    for (let i = 0; i < points; i++) {
      index.put(
        `point-${i}`,
        i,
        Float32Array.from({ length: dimension }, () => random.gaussian()),
      );
    }
    expect(index.bytes / predictedBytes(shape)).toBeGreaterThan(0.9);
    expect(index.bytes / predictedBytes(shape)).toBeLessThan(1.1);
    index.destroy();
  });

  test('is refused before the limit', () => {
    const engine = createNativeEngine({ bytesMax: 1e6 });
    expect(engine.memory.bytesMax).toBe(1e6);
    expect(engine.memory.bytes).toBeGreaterThanOrEqual(0);
    const shape = { points: 100, dimension: 256, m: 16 };
    expect(admits({ bytes: 0, bytesMax: 1e6 }, shape)).toBe(true);
    expect(admits({ bytes: 800_000, bytesMax: 1e6 }, shape)).toBe(false);
    expect(admits({ bytes: 0, bytesMax: predictedBytes(shape) }, shape)).toBe(false);
  });
});
