/**
 * Clients on shared registers of a real cluster while parts of it are killed; then the judge reads what they were told.
 *
 *     npm run chaos -- --profile threads --ops 20000
 *     npm run chaos -- --profile kill9 --ops 60000 --clients 16 --keys 120 --seed 7 --record
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../src/base/prng';
import { connect } from '../../src/client/node';
import { HistoryWriter } from '../history/history-writer';
import { buildJudge, type Judgement, judge } from '../history/judge';
import { Clients, collection, dimension } from './clients';
import { Nemesis } from './nemesis';
import { type ChaosOptions, parseOptions } from './options';
import { differences, replicasAgree } from './replica-check';
import { type Figures, figuresLine, record, shortfalls } from './report';
import { type ChaosTarget, startTarget } from './targets';

/** Nanoseconds of the monotonic clock; exact to a few for the first years after boot. */
const nowNs = (): number => Number(process.hrtime.bigint());

/** What was run, for who reads the figures later; empty outside of a checkout. */
function commitOf(): string {
  const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' });
  const head = git('rev-parse', '--short=12', 'HEAD');
  if (head.status !== 0) return '';
  const isClean = git('status', '--porcelain', '--untracked-files=no').stdout.trim() === '';
  return `${head.stdout.trim()}${isClean ? '' : '+changes'}`;
}

async function main(): Promise<boolean> {
  const options = parseOptions(process.argv.slice(2));
  const program = buildJudge();
  const commit = commitOf();
  const target = await startTarget(options.profile, collection);
  try {
    const measured = await load(target, options, commit);
    const judgement = judge(program, [options.out], ['-timeout', '300s']);
    return conclude({ ...measured, options, commit, verdict: judgement.verdict }, judgement);
  } finally {
    await target.stop();
  }
}

type Measured = Omit<Figures, 'options' | 'commit' | 'verdict'>;

async function load(target: ChaosTarget, options: ChaosOptions, commit: string): Promise<Measured> {
  await createCollection(target, options);
  const clock = 'CLOCK_MONOTONIC ns, one host';
  const history = new HistoryWriter(options.out, { model: 'register', seed: options.seed, commit, clock }, nowNs);
  const random = new Prng(options.seed);
  const clients = new Clients(target.addresses, target.apiKey, options, random.fork(), history);
  try {
    const nemesis = new Nemesis(target, clients, options, random.fork(), nowNs);
    const startedMs = performance.now();
    clients.start();
    await Promise.all([nemesis.run(), clients.ended()]);
    const loadMs = performance.now() - startedMs;
    return {
      loadMs,
      windows: nemesis.windows,
      unknown: clients.unknown,
      ...(await settle(target, clients, options, history)),
    };
  } finally {
    clients.close();
    history.close();
  }
}

async function createCollection(target: ChaosTarget, { shards }: ChaosOptions): Promise<void> {
  const client = connect({ url: target.addresses[0] ?? '', apiKey: target.apiKey, timeoutMs: 30_000 });
  await client.createCollection({
    name: collection,
    dimension,
    distance: 'euclidean',
    shardCount: shards,
    replicationFactor: 3,
  });
  client.close();
}

/** After the last fault: what was unknown has had its time, all replicas agree, and they hold what is read. */
async function settle(
  { replicas }: ChaosTarget,
  clients: Clients,
  { timeoutMs }: ChaosOptions,
  history: HistoryWriter,
): Promise<Pick<Measured, 'counts' | 'replicaCount' | 'wrong'>> {
  if (clients.unknown.size > 0) await sleep(timeoutMs);
  const replicaCount = await replicasAgree(replicas, collection);
  const read = await clients.readAll();
  const wrong = await differences(replicas, collection, read);
  return { counts: { ...history.counts }, replicaCount, wrong };
}

function conclude(figures: Figures, { output }: Judgement): boolean {
  process.stdout.write(output);
  const reasons = shortfalls(figures);
  for (const reason of reasons) console.log(`chaos: red: ${reason}`);
  console.log(figuresLine(figures));
  if (figures.options.record) record(figures, reasons);
  return reasons.length === 0;
}

main()
  .then((isGreen) => {
    process.exitCode = isGreen ? 0 : 1;
  })
  .catch((error: unknown) => {
    console.error(`chaos: red: ${error instanceof Error ? error.stack : String(error)}`);
    process.exitCode = 1;
  });
