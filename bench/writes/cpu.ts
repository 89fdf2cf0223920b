import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** One process of a system that is measured. */
export interface MeasuredProcess {
  readonly name: string;
  readonly pid: number;
}

/** Microseconds of processor time, by process and thread: `worker-1/log`. */
export type CpuTimes = ReadonlyMap<string, number>;

/** Linux counts in hundredths of a second for whoever asks through /proc. */
const tickMicros = 10_000;
const utimeField = 11;

/** What every thread of the processes has used so far. Empty where there is no /proc. */
export function cpuTimes(processes: readonly MeasuredProcess[]): CpuTimes {
  const times = new Map<string, number>();
  for (const { name, pid } of processes) {
    const folder = `/proc/${pid}/task`;
    if (!existsSync(folder)) continue;
    for (const thread of readdirSync(folder)) {
      const [key, micros] = timeOf(name, `${folder}/${thread}/stat`, thread === String(pid));
      times.set(key, (times.get(key) ?? 0) + micros);
    }
  }
  return times;
}

/** `pid (comm) state ...`, then utime and stime as the 12th and 13th after the state; comm may hold spaces. */
function timeOf(process: string, file: string, isMain: boolean): readonly [string, number] {
  const stat = readFileSync(file, 'utf8');
  const end = stat.lastIndexOf(')');
  const fields = stat.slice(end + 2).split(' ');
  const comm = stat.slice(stat.indexOf('(') + 1, end);
  const thread = isMain ? 'main' : comm.replace(/-\d+$/, '');
  return [`${process}/${thread}`, (Number(fields[utimeField]) + Number(fields[utimeField + 1])) * tickMicros];
}

/** Microseconds a call of what happened between two readings; threads that took less than one are left out. */
export function cpuPerCall(before: CpuTimes, after: CpuTimes, calls: number): CpuTimes {
  const spent = [...after].map(([key, micros]) => [key, (micros - (before.get(key) ?? 0)) / calls] as const);
  return new Map(spent.filter(([, micros]) => micros >= 1).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const cpuSum = (times: CpuTimes): number => [...times.values()].reduce((sum, micros) => sum + micros, 0);
