import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { injectedLine, type RunFigures, speedLine } from './summary';

const results = 'docs/results/simulator.md';
const head = `# Runs of the simulator

Each row is one run of \`npm run sim -- --record\`, red or green ([what it is](../simulator.md)). With no red seed among n, the
true rate is below 3/n with 95 % confidence. The numbers of a seed are the same on every machine; the times are not.

| date | commit | seeds | red | simulated | writes acknowledged / unknown / rejected, reads checked | injected | marks hit | machine |
|---|---|---|---|---|---|---|---|---|
`;

export interface RunSetting {
  readonly first: number;
  readonly processes: number;
  /** Of the coverage marks. */
  readonly marks: { readonly known: number; readonly hit: number };
  /** Why the run proves too little. */
  readonly shortfalls: readonly string[];
}

const commitOf = (): string => execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const machineOf = (): string =>
  `${cpus().length} cores ${cpus()[0]?.model ?? ''}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;

/** Adds the run as a row. */
export function record(figures: RunFigures, setting: RunSetting): void {
  if (!existsSync(results)) {
    mkdirSync(dirname(results), { recursive: true });
    writeFileSync(results, head);
  }
  const { acknowledged, unknown, rejected, reads, red, seeds } = figures;
  const cells = [
    new Date().toISOString().slice(0, 10),
    `\`${commitOf()}\``,
    `${seeds}: ${setting.first} and on, and the corpus`,
    [red.length === 0 ? '0' : `${red.length}: ${red.join(', ')}`, ...setting.shortfalls].join('; '),
    `${(figures.simulatedMs / 3_600_000).toFixed(1)} h, ${speedLine(figures)}`,
    `${acknowledged} / ${unknown} / ${rejected}, ${reads}`,
    injectedLine(figures.injected),
    `${setting.marks.hit} of ${setting.marks.known}`,
    `${machineOf()}, ${setting.processes} processes, load ${loadavg()[0]?.toFixed(1)}`,
  ];
  appendFileSync(results, `| ${cells.map((cell) => cell.replace(/\|/g, '/')).join(' | ')} |\n`);
}

/** The same for programs. */
export function writeResult(file: string, figures: RunFigures, setting: RunSetting): void {
  mkdirSync(dirname(file), { recursive: true });
  const upper95 = figures.red.length === 0 ? 3 / Math.max(1, figures.seeds) : null;
  const machine = { cores: cpus().length, node: process.versions.node, ramBytes: totalmem() };
  const result = { goal: 'G1', commit: commitOf(), machine, ...setting, ...figures, upper95 };
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
}
