/**
 * Coverage marks: "this rare thing happened". A mark watches one method of production code from outside, before it runs or
 * after it, so that production knows nothing of it and pays nothing. A mark that no seed of a full run hits is red: then
 * either the simulator has lost the way to that situation, or the code has.
 */
export type Counts = Readonly<Record<string, number>>;

export interface Probe {
  readonly target: object;
  readonly method: string;
  readonly when: 'before' | 'after';
  /** By name of the mark: whether what is called, or has just ended, is the rare thing. */
  readonly marks: Readonly<Record<string, (self: unknown, args: readonly unknown[], result: unknown) => boolean>>;
}

type Looks<Self, Args, Result> = Readonly<Record<string, (self: Self, args: Args, result: Result) => boolean>>;

/** `Self`, `Args` and `Result` are what the method has, which TypeScript cannot know of private ones. */
function probe<Self, Args, Result>(
  when: Probe['when'],
  target: object,
  method: string,
  marks: Looks<Self, Args, Result>,
): Probe {
  if (typeof Reflect.get(target, method) !== 'function') throw new Error(`no method ${method} to watch`);
  return { target, method, when, marks: marks as Probe['marks'] };
}

export const before = <Self, Args extends readonly unknown[] = []>(
  target: object,
  method: string,
  marks: Looks<Self, Args, undefined>,
): Probe => probe('before', target, method, marks);

export const after = <Self, Args extends readonly unknown[] = [], Result = unknown>(
  target: object,
  method: string,
  marks: Looks<Self, Args, Result>,
): Probe => probe('after', target, method, marks);

/** That it is called at all is the rare thing. */
export const called = (target: object, method: string, mark: string): Probe =>
  before(target, method, { [mark]: () => true });

/** Of the run that is under way; null: nobody counts. */
let counts: Record<string, number> | null = null;
const installed = new Set<Probe>();

/** Runs with the probes in place, which stay: code that is patched for every run would run slowly. */
export function countMarks<T>(probes: readonly Probe[], run: () => T): { readonly result: T; readonly marks: Counts } {
  for (const each of probes) if (!installed.has(each)) install(each);
  const own: Record<string, number> = {};
  counts = own;
  try {
    return { result: run(), marks: own };
  } finally {
    counts = null;
  }
}

function install(each: Probe): void {
  installed.add(each);
  const { target, method, when, marks } = each;
  const original = Reflect.get(target, method) as (...args: readonly unknown[]) => unknown;
  const names = Object.keys(marks);
  const looks = Object.values(marks);
  const look = (self: unknown, args: readonly unknown[], result: unknown): void => {
    if (counts === null) return;
    for (let i = 0; i < looks.length; i++) {
      if (looks[i]?.(self, args, result) !== true) continue;
      const name = names[i] as string;
      counts[name] = (counts[name] ?? 0) + 1;
    }
  };
  const isBefore = when === 'before';
  Reflect.set(target, method, function (this: unknown, ...args: readonly unknown[]) {
    if (isBefore) look(this, args, undefined);
    const result = Reflect.apply(original, this, args);
    if (!isBefore) look(this, args, result);
    return result;
  });
}

export const namesOf = (probes: readonly Probe[]): string[] => probes.flatMap(({ marks }) => Object.keys(marks)).sort();

export interface MarkRow {
  readonly name: string;
  readonly seeds: number;
  readonly hits: number;
}

/** Every mark with the seeds that hit it and how often, the rarest first. */
export function markRows(names: readonly string[], runs: readonly Counts[]): MarkRow[] {
  const rows = names.map((name) => {
    const hit = runs.map((run) => run[name] ?? 0).filter((count) => count > 0);
    return { name, seeds: hit.length, hits: hit.reduce((sum, count) => sum + count, 0) };
  });
  return rows.sort((a, b) => a.seeds - b.seeds || a.name.localeCompare(b.name));
}

/** So many seeds must hit every mark. */
export const fullRunSeeds = 20_000;

/** The marks for which a run is red: those that so many seeds did not hit once. */
export const missedMarks = (rows: readonly MarkRow[], seeds: number): string[] =>
  seeds < fullRunSeeds ? [] : rows.filter(({ hits }) => hits === 0).map(({ name }) => name);
