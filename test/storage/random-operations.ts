import { compareBytes } from '../../src/base/bytes';
import type { Prng } from '../../src/base/prng';
import { type KeyValue, type KeyValueStore, type RangeOptions, WriteBatch } from '../../src/storage/ports';

/** The stupid second implementation of the ordered store: an unsorted list that is sorted when asked. */
export class PlainStore {
  private items: KeyValue[] = [];

  get(key: Uint8Array): Uint8Array | undefined {
    return this.items.find((item) => compareBytes(item.key, key) === 0)?.value;
  }

  write(batch: WriteBatch): void {
    for (const operation of batch.operations) {
      this.items = this.items.filter((item) => compareBytes(item.key, operation.key) !== 0);
      if (operation.type === 'put') this.items.push({ key: operation.key, value: operation.value });
    }
  }

  range({ start, end, countMax, bytesMax, reverse }: RangeOptions): KeyValue[] {
    const inside = this.items.filter((item) => compareBytes(item.key, start) >= 0 && compareBytes(item.key, end) < 0);
    inside.sort((a, b) => (reverse === true ? compareBytes(b.key, a.key) : compareBytes(a.key, b.key)));
    const found: KeyValue[] = [];
    let bytes = 0;
    for (const item of inside.slice(0, countMax)) {
      found.push(item);
      bytes += item.key.length + item.value.length;
      if (bytesMax !== undefined && bytes >= bytesMax) break;
    }
    return found;
  }

  deleteRange(start: Uint8Array, end: Uint8Array): void {
    this.items = this.items.filter((item) => compareBytes(item.key, start) < 0 || compareBytes(item.key, end) >= 0);
  }

  copy(): PlainStore {
    const copy = new PlainStore();
    copy.items = [...this.items];
    return copy;
  }
}

export const everything = { start: new Uint8Array(0), end: new Uint8Array(16).fill(255), countMax: 1_000_000 };

/** Short keys over few letters, so that they collide and are prefixes of one another; bytes above 127 among them. */
export function randomKey(random: Prng): Uint8Array {
  return Uint8Array.from({ length: random.between(1, 4) }, () => random.pick([1, 2, 127, 128, 254]));
}

export function randomBatch(random: Prng): WriteBatch {
  const batch = new WriteBatch();
  for (let i = random.between(1, 8); i > 0; i--) {
    if (random.chance(0.3)) batch.delete(randomKey(random));
    else
      batch.put(
        randomKey(random),
        Uint8Array.from({ length: random.between(0, 6) }, () => random.between(0, 255)),
      );
  }
  return batch;
}

export function randomRange(random: Prng): RangeOptions {
  return {
    start: randomKey(random),
    end: randomKey(random),
    countMax: random.between(0, 20),
    ...(random.chance(0.3) ? { bytesMax: random.between(1, 40) } : {}),
    ...(random.chance(0.5) ? { reverse: random.chance(0.5) } : {}),
  };
}

/** Items as plain arrays, so that a Buffer equals a Uint8Array. */
export const plain = (items: readonly KeyValue[]): number[][][] =>
  items.map(({ key, value }) => [Array.from(key), Array.from(value)]);

/** One random step on both; throws or fails where they differ. */
export function step(random: Prng, store: KeyValueStore, model: PlainStore): void {
  const dice = random.float();
  if (dice < 0.45) {
    const batch = randomBatch(random);
    store.write(batch, { sync: random.chance(0.2) });
    model.write(batch);
  } else if (dice < 0.65) {
    const keys = Array.from({ length: random.between(1, 5) }, () => randomKey(random));
    const found = store.getMany(keys).map((value) => value && Array.from(value));
    const expected = keys.map((key) => model.get(key)).map((value) => value && Array.from(value));
    expect(found).toEqual(expected);
    const [key] = keys as [Uint8Array];
    expect(store.get(key)?.length).toBe(model.get(key)?.length);
  } else if (dice < 0.95) {
    const range = randomRange(random);
    expect(plain(store.range(range))).toEqual(plain(model.range(range)));
  } else {
    const start = randomKey(random);
    const end = randomKey(random);
    store.deleteRange(start, end);
    model.deleteRange(start, end);
  }
}
