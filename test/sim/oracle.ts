import { must, Violation } from './violation';

/** What the caller was told: `rejected` means that it never took effect and never will. */
export type Fate = 'acknowledged' | 'unknown' | 'rejected';

interface Operation {
  readonly deletes: boolean;
  state: 'open' | Fate;
  /** Where it took effect, once that is known from an answer or a read. */
  version: number | null;
}

interface Floor {
  readonly atMs: number;
  readonly version: number;
}

/** What a read shows of a key; null: nothing. */
export interface Shown {
  readonly serial: number;
  readonly version: number;
}

/**
 * What clients may believe about one key. Every operation has a serial of its own, and every effect a version, which only
 * grows. Nothing is forgiven:
 *
 *  1. An operation takes effect once: whoever sees it sees it at one version, the one it was acknowledged with.
 *  2. One that was rejected is never seen.
 *  3. A read shows no version below the newest that was acknowledged, or seen, before the moment it has to know of.
 *  4. Nothing is there only where nothing was, or where a deletion that is not older may have taken effect.
 */
class KeyHistory {
  private readonly operations = new Map<number, Operation>();
  private readonly floors: Floor[] = [];

  invoke(serial: number, deletes: boolean): void {
    this.operations.set(serial, { deletes, state: 'open', version: null });
  }

  finish(serial: number, fate: Fate, version: number | null, nowMs: number): void {
    const operation = this.operations.get(serial);
    if (operation === undefined) throw new Violation(`oracle: no operation ${serial}`);
    operation.state = fate;
    if (fate === 'rejected') must(operation.version === null, () => `${serial} was seen and then rejected`);
    if (fate !== 'acknowledged' || version === null) return;
    const seen = operation.version;
    must(seen === null || seen === version, () => `${serial} was seen at ${seen}, acknowledged at ${version}`);
    operation.version = version;
    this.raise(version, nowMs);
  }

  /** The newest version that was known by `atMs`. */
  floor(atMs: number): number {
    let at = this.floors.length;
    while (at > 0 && (this.floors[at - 1] as Floor).atMs > atMs) at--;
    return this.floors[at - 1]?.version ?? 0;
  }

  get known(): readonly number[] {
    return this.floors.map(({ version }) => version);
  }

  read(shown: Shown | null, floor: number): string | null {
    if (shown === null) return this.mayBeGone(floor) ? null : `nothing, although version ${floor} was known`;
    const { serial, version } = shown;
    const operation = this.operations.get(serial);
    if (operation === undefined || operation.deletes) return `${serial}, which nobody wrote`;
    if (operation.state === 'rejected') return `${serial}, which was rejected`;
    if (operation.version !== null && operation.version !== version) {
      return `${serial} at version ${version}, it took effect at ${operation.version}`;
    }
    operation.version = version;
    return version >= floor ? null : `${serial} at version ${version}, although ${floor} was known`;
  }

  /** What a linearizable read has shown, every later one must know of. */
  raise(version: number, nowMs: number): void {
    if (version > this.floor(Number.POSITIVE_INFINITY)) this.floors.push({ atMs: nowMs, version });
  }

  private mayBeGone(floor: number): boolean {
    if (floor === 0) return true;
    return [...this.operations.values()].some(
      ({ deletes, state, version }) => deletes && state !== 'rejected' && (version === null || version >= floor),
    );
  }
}

/** The clients' memory: what was acknowledged must be read, and nothing else may be. */
export class Oracle {
  private readonly keys = new Map<string, KeyHistory>();
  acknowledgedCount = 0;
  unknownCount = 0;
  rejectedCount = 0;

  constructor(private readonly now: () => number) {}

  invoke(key: string, serial: number, deletes: boolean): void {
    this.history(key).invoke(serial, deletes);
  }

  /** `version` null: it was not told. */
  finish(key: string, serial: number, fate: Fate, version: number | null): void {
    this.history(key).finish(serial, fate, version, this.now());
    if (fate === 'acknowledged') this.acknowledgedCount++;
    if (fate === 'unknown') this.unknownCount++;
    if (fate === 'rejected') this.rejectedCount++;
  }

  /** What a read must know of that has to be fresh as of `atMs`; default: now. */
  floorOf(key: string, atMs = this.now()): number {
    return this.history(key).floor(atMs);
  }

  /** Every version that was ever the newest known one. */
  knownOf(key: string): readonly number[] {
    return this.history(key).known;
  }

  /** Checks what a read showed; `floor` is what it had to know of. */
  read(key: string, shown: Shown | null, floor: number, where: string): void {
    const wrong = this.history(key).read(shown, floor);
    if (wrong !== null) throw new Violation(`${where}: ${key} shows ${wrong}`);
  }

  /** The same of a linearizable read, which binds those that come after it. */
  readLatest(key: string, shown: Shown | null, floor: number, where: string): void {
    this.read(key, shown, floor, where);
    if (shown !== null) this.history(key).raise(shown.version, this.now());
  }

  allKeys(): string[] {
    return [...this.keys.keys()];
  }

  private history(key: string): KeyHistory {
    const known = this.keys.get(key);
    if (known !== undefined) return known;
    const created = new KeyHistory();
    this.keys.set(key, created);
    return created;
  }
}
