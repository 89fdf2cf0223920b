import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { optionsOf } from './support/options';
import { type CpuTimes, cpuSum } from './writes/cpu';
import { EtcdCluster, etcdVersion } from './writes/etcd';
import { type Figures, type Load, runLoad, type Target } from './writes/load';
import { VectronTarget } from './writes/vectron';

/**
 * Durable writes of 256-byte values to one group of three nodes, beside etcd (Debian: `apt-get install etcd-server`) on
 * the same machine in the same run: the same closed-loop gRPC client for both, at 1, 64 and 256 clients, one value a call
 * and 32. The systems take turns; what is printed are medians of the rounds. Fails below `ratioLeast` anywhere.
 */
const ratioLeast = 0.5;
const batchSize = 32;
const warmUpFactor = 15;

interface Cell {
  readonly clients: number;
  readonly batch: number;
  readonly etcd: Figures[];
  readonly vectron: Figures[];
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const reduced = (all: readonly Figures[]): Figures => ({
  callsPerSecond: median(all.map((one) => one.callsPerSecond)),
  p50Ms: median(all.map((one) => one.p50Ms)),
  p99Ms: median(all.map((one) => one.p99Ms)),
  cpu: all.map(({ cpu }) => cpu).sort((a, b) => cpuSum(a) - cpuSum(b))[Math.floor(all.length / 2)] as CpuTimes,
});

const ratioOf = ({ etcd, vectron }: Cell): number => reduced(vectron).callsPerSecond / reduced(etcd).callsPerSecond;

interface Settings {
  readonly rounds: number;
  readonly measureMs: number;
  readonly warmupMs: number;
  readonly keyCount: number;
  readonly cells: readonly Cell[];
}

function settings(): Settings {
  const defaults = {
    rounds: 5,
    seconds: 5,
    warmup: 1,
    keys: 3_000,
    clients: [1, 64, 256],
    batches: [1, batchSize],
  } as const;
  const { rounds, seconds, warmup, keys, clients, batches } = optionsOf(process.argv.slice(2), defaults);
  const cells = batches.flatMap((batch) =>
    clients.map((each): Cell => ({ clients: each, batch, etcd: [], vectron: [] })),
  );
  return { rounds, keyCount: keys, cells, measureMs: seconds * 1_000, warmupMs: warmup * 1_000 };
}

/** Long enough for the compiler to have seen every path; all processes of both systems go on running afterwards. */
async function warmUp({ warmupMs, keyCount }: Settings, targets: readonly Target[]): Promise<void> {
  for (const batch of [1, batchSize]) {
    const load: Load = { clients: 64, batch, keyCount, warmupMs: 0, measureMs: warmUpFactor * warmupMs };
    for (const target of targets) await runLoad(target, load);
  }
}

/** In one round each cell is measured on both systems, in an order that changes from round to round. */
async function measure(settings: Settings, etcd: Target, vectron: Target): Promise<void> {
  const { rounds, cells, measureMs, warmupMs, keyCount } = settings;
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? ([etcd, vectron] as const) : ([vectron, etcd] as const);
    for (const cell of cells) {
      const load: Load = { clients: cell.clients, batch: cell.batch, measureMs, warmupMs, keyCount };
      for (const target of order) {
        const figures = await runLoad(target, load);
        (target === etcd ? cell.etcd : cell.vectron).push(figures);
      }
      console.error(`round ${round + 1} of ${rounds}: ${line(cell, last)}`);
    }
  }
}

const last = (all: readonly Figures[]): Figures => all[all.length - 1] as Figures;

function line(cell: Cell, figuresOf: (all: readonly Figures[]) => Figures): string {
  const [a, b] = [figuresOf(cell.etcd), figuresOf(cell.vectron)];
  const one = ({ callsPerSecond, p50Ms, p99Ms }: Figures): string =>
    (callsPerSecond * cell.batch).toFixed(0).padStart(8) + p50Ms.toFixed(2).padStart(9) + p99Ms.toFixed(2).padStart(9);
  const micros = (figures: Figures): string => cpuSum(figures.cpu).toFixed(0).padStart(7);
  const head = String(cell.clients).padStart(7) + String(cell.batch).padStart(6);
  return `${head} |${one(a)}${micros(a)} |${one(b)}${micros(b)} | ${(b.callsPerSecond / a.callsPerSecond).toFixed(2)}x`;
}

/** Microseconds of processor time a call, thread by thread. */
function cpuLine({ clients, batch }: Cell, { cpu }: Figures): string {
  const threads = [...cpu].map(([name, micros]) => `${name} ${micros.toFixed(0)}`);
  return `${clients}x${batch}: ${threads.join(', ')}`;
}

function report(cells: readonly Cell[]): void {
  console.log('clients batch |  etcd/s   p50 ms   p99 ms cpu us |   vec/s   p50 ms   p99 ms cpu us | ratio');
  for (const cell of cells) console.log(line(cell, reduced));
  for (const cell of cells) for (const all of [cell.etcd, cell.vectron]) console.log(cpuLine(cell, reduced(all)));
  const ratios = cells.map((cell) => `${ratioOf(cell).toFixed(2)}x (${cell.clients}x${cell.batch})`);
  console.log(`vectron / etcd, values a second: ${ratios.join(', ')}`);
  const least = Math.min(...cells.map(ratioOf));
  if (!(least >= ratioLeast)) throw new Error(`${least.toFixed(2)}x is below the ${ratioLeast}x that is the least`);
}

/** What else runs takes a larger share from whoever crosses more threads: figures of a busy machine are no figures. */
const machine = (): string => `${availableParallelism()} processors, load ${loadavg()[0]?.toFixed(1)}`;

async function main(): Promise<void> {
  const chosen = settings();
  const { keyCount, rounds } = chosen;
  console.log(
    `etcd ${etcdVersion()}, node ${process.version}, ${keyCount} keys, ${rounds} rounds; ${machine()} before`,
  );
  const folder = mkdtempSync(join(tmpdir(), 'vectron-writes-'));
  const ends: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true })];
  try {
    const etcd = await EtcdCluster.start(join(folder, 'etcd'));
    ends.push(() => etcd.stop());
    const vectron = await VectronTarget.start(join(folder, 'vectron'));
    ends.push(() => vectron.stop());
    const [theirs, ours] = [await etcd.leader(), vectron.target()];
    await warmUp(chosen, [theirs, ours]);
    await measure(chosen, theirs, ours);
    console.log(`${machine()} after`);
    report(chosen.cells);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

main().catch((error) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
