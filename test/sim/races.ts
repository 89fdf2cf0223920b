import type { Prng } from '../../src/base/prng';
import type { Condition } from '../../src/protocol/commands';
import type { Oracle } from './oracle';
import { latest, type SimClient } from './sim-client';
import { must } from './violation';

const counters = 3;
const slots = 6;

/** A counter whose value is the payload of whoever won; what it counts is remembered here. */
class Counter {
  readonly values = new Map<number, number>();
  acknowledged = 0;
  unknown = 0;
  /** Serial to the value it stands for. */
  readonly valueOf = new Map<number, number>();
}

/**
 * Keys that every client writes at once, with conditions:
 *
 *  1. Counters are read and then replaced if their version is still the same: no increment is lost or counted twice.
 *  2. Slots are taken by an insert: each has one winner between two deletions of what was seen there.
 */
export class Races {
  private readonly counts = Array.from({ length: counters }, () => new Counter());
  conflicts = 0;

  constructor(
    private readonly client: SimClient,
    private readonly oracle: Oracle,
    private readonly random: Prng,
    private readonly nextSerial: () => number,
  ) {}

  increment(done: () => void): void {
    const at = this.random.between(0, counters - 1);
    const counter = this.counts[at] as Counter;
    const key = `count-${at}`;
    const floor = this.oracle.floorOf(key);
    this.client.get(
      key,
      latest,
      (shown) => {
        this.oracle.readLatest(key, shown, floor, 'counter read');
        const value = shown === null ? 0 : (counter.valueOf.get(shown.serial) ?? -1);
        this.replace(counter, key, value + 1, shown?.version ?? 0, done);
      },
      done,
    );
  }

  private replace(counter: Counter, key: string, value: number, version: number, done: () => void): void {
    const serial = this.nextSerial();
    counter.valueOf.set(serial, value);
    const condition: Condition = version === 0 ? { kind: 'absent' } : { kind: 'version', version };
    this.client.write({ deletes: false, items: [{ key, serial, condition }] }, (fate) => {
      if (fate === 'acknowledged') {
        const other = counter.values.get(value);
        must(other === undefined, () => `${key}: ${serial} and ${other} both counted ${value}`);
        counter.values.set(value, serial);
        counter.acknowledged++;
      } else if (fate === 'unknown') counter.unknown++;
      else this.conflicts++;
      done();
    });
  }

  take(done: () => void): void {
    const key = `slot-${this.random.between(0, slots - 1)}`;
    const item = { key, serial: this.nextSerial(), condition: { kind: 'absent' } as const };
    this.client.write({ deletes: false, items: [item] }, (fate) => {
      if (fate === 'rejected') this.conflicts++;
      done();
    });
  }

  /** Frees a slot if it still holds what was seen in it. */
  free(done: () => void): void {
    const key = `slot-${this.random.between(0, slots - 1)}`;
    const floor = this.oracle.floorOf(key);
    this.client.get(
      key,
      latest,
      (shown) => {
        this.oracle.readLatest(key, shown, floor, 'slot read');
        if (shown === null) return done();
        const condition = { kind: 'version', version: shown.version } as const;
        this.client.write({ deletes: true, items: [{ key, serial: this.nextSerial(), condition }] }, done);
      },
      done,
    );
  }

  /** What a counter shows at the end: every acknowledged increment, and at most the unknown ones beside them. */
  checkEnd(key: string, serial: number | null): void {
    const counter = this.counts[Number(key.slice('count-'.length))];
    if (!key.startsWith('count-') || counter === undefined) return;
    const value = serial === null ? 0 : (counter.valueOf.get(serial) ?? -1);
    const { acknowledged, unknown } = counter;
    must(
      value >= acknowledged && value <= acknowledged + unknown,
      () => `${key} ends at ${value}, ${acknowledged} increments were acknowledged and ${unknown} are unknown`,
    );
  }
}
