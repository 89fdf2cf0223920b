import { parseArgs } from 'node:util';

export const profiles = ['threads', 'mixed', 'kill9'] as const;
export type Profile = (typeof profiles)[number];

export interface ChaosOptions {
  /** `threads`, `mixed`: one process, three machines; `kill9`: three processes of each kind. */
  readonly profile: Profile;
  readonly ops: number;
  readonly clients: number;
  readonly keys: number;
  readonly shards: number;
  readonly seed: number;
  /** The run is red with fewer of any of these: then it says too little. */
  readonly killsMin: number;
  readonly ackedMin: number;
  readonly ackedInWindowsMin: number;
  /** Of each operation. */
  readonly timeoutMs: number;
  /** Requests of the client for one operation. 1 also tests what the server says was not applied. */
  readonly attempts: number;
  readonly out: string;
  /** Adds a row to docs/results/judged-histories.md. */
  readonly record: boolean;
}

/** Beyond these the judge's search explodes: what it cannot decide is red, so such a run would be for nothing. */
export const opsPerKeyMax = 5_000;
export const clientsPerKeyMax = 16;
export const unknownShareMax = 0.01;

const usage = `usage: npm run chaos -- [--profile ${profiles.join('|')}] [--ops N] [--clients C] [--keys K] [--shards S]
  [--seed N] [--kills N] [--acked N] [--acked-in-windows N] [--timeout-ms N] [--attempts N] [--out FILE.jsonl] [--record]`;

export function parseOptions(args: string[]): ChaosOptions {
  const text = { type: 'string' } as const;
  const names = [
    'ops',
    'clients',
    'keys',
    'shards',
    'seed',
    'kills',
    'acked',
    'acked-in-windows',
    'timeout-ms',
    'attempts',
  ] as const;
  const numbers = Object.fromEntries(names.map((name) => [name, text])) as Record<(typeof names)[number], typeof text>;
  const { values } = parseArgs({
    args,
    options: { profile: text, out: text, record: { type: 'boolean', default: false }, ...numbers },
  });
  const number = (name: (typeof names)[number], otherwise: number): number => {
    const value = Number(values[name] ?? otherwise);
    if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} takes a whole number\n${usage}`);
    return value;
  };
  const profile = profiles.find((each) => each === (values.profile ?? 'mixed'));
  if (profile === undefined) throw new Error(usage);
  const ops = number('ops', 10_000);
  const clients = number('clients', 16);
  const killsMin = number('kills', Math.max(4, Math.floor(ops / 2_000)));
  const options: ChaosOptions = {
    profile,
    ops,
    clients,
    killsMin,
    keys: number('keys', Math.max(8, Math.ceil(ops / 1_000))),
    shards: number('shards', 3),
    seed: number('seed', 1),
    ackedMin: number('acked', Math.floor(ops * 0.9)),
    ackedInWindowsMin: number('acked-in-windows', killsMin * clients),
    timeoutMs: number('timeout-ms', 10_000),
    attempts: number('attempts', 1),
    out: values.out ?? `out/chaos/${profile}.jsonl`,
    record: values.record,
  };
  checkBounds(options);
  return options;
}

function checkBounds({ ops, clients, keys, out }: ChaosOptions): void {
  if (ops / keys > opsPerKeyMax / 2)
    throw new Error(`${ops} operations need at least ${Math.ceil((2 * ops) / opsPerKeyMax)} keys`);
  if (keys < Math.ceil(clients / clientsPerKeyMax)) throw new Error(`${clients} clients need more keys than ${keys}`);
  if (!out.endsWith('.jsonl')) throw new Error('--out must end with .jsonl');
}
