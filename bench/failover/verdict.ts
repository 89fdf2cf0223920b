import { quantile, seconds } from '../support/figures';

export type Victim = 'process' | 'thread' | 'link';
const victimNames: readonly string[] = ['process', 'thread', 'link'] satisfies Victim[];

export interface Pause {
  readonly victim: Victim;
  readonly pauseMs: number;
}

const goalP50Ms = 2_000;
const goalP99Ms = 3_500;

/** Of a list with commas. One cluster has either its shard threads or its link threads made to be killed. */
export function victimsOf(list: string): Victim[] {
  const victims = list.split(',');
  const stranger = victims.find((name) => !victimNames.includes(name));
  if (stranger !== undefined) throw new Error(`--victims takes process, thread and link, not ${stranger}`);
  if (victims.includes('thread') && victims.includes('link')) throw new Error('--victims: thread or link, not both');
  return victims as Victim[];
}

export const spread = (values: readonly number[]): string =>
  `p50 ${seconds(quantile(values, 0.5))}, p99 ${seconds(quantile(values, 0.99))}, max ${seconds(Math.max(...values))}`;

/** What to tell of the pauses, and whether they and the writes are what they have to be. */
export function judge(
  pauses: readonly Pause[],
  victims: readonly Victim[],
  lost: number,
): { readonly lines: string[]; readonly isGreen: boolean } {
  const lines = victims.flatMap((victim) => {
    const own = pauses.filter((pause) => pause.victim === victim).map(({ pauseMs }) => pauseMs);
    return own.length === 0 ? [] : [`pause after the leader's ${victim} was killed (${own.length}): ${spread(own)}`];
  });
  const all = pauses.map(({ pauseMs }) => pauseMs);
  const goal = `goal p50 ${seconds(goalP50Ms)}, p99 ${seconds(goalP99Ms)}`;
  lines.push(`pause (${all.length} kills): ${spread(all)}; ${goal}`);
  const isGreen = lost === 0 && quantile(all, 0.5) <= goalP50Ms && quantile(all, 0.99) <= goalP99Ms;
  return { lines, isGreen };
}
