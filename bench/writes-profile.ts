import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cpuSum } from './writes/cpu';
import { EtcdCluster } from './writes/etcd';
import { runLoad, type Target } from './writes/load';
import { VectronTarget } from './writes/vectron';

/**
 * One cell of bench:writes on one system, for looking into: processor time a call by process and thread, and with
 * `--profiles DIR` a CPU profile of each of Vectron's threads, which cost some of what they measure.
 *
 *   node dist/bench/writes-profile.js --system vectron --clients 64 --batch 32 --seconds 10 --warmup 5
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      system: { type: 'string', default: 'vectron' },
      clients: { type: 'string', default: '64' },
      batch: { type: 'string', default: '1' },
      keys: { type: 'string', default: '3000' },
      seconds: { type: 'string', default: '8' },
      warmup: { type: 'string', default: '6' },
      profiles: { type: 'string', default: '' },
      'node-options': { type: 'string', default: '' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'vectron-writes-'));
  if (values.profiles !== '') mkdirSync(values.profiles, { recursive: true });
  const profiles = values.profiles === '' ? '' : resolve(values.profiles);
  const { target, stop } = await start(values.system, folder, profiles, values['node-options']);
  try {
    const [clients, batch, keyCount] = [values.clients, values.batch, values.keys].map(Number) as [
      number,
      number,
      number,
    ];
    const times = { warmupMs: Number(values.warmup) * 1_000, measureMs: Number(values.seconds) * 1_000 };
    if (profiles !== '') {
      setTimeout(() => writeFileSync(join(profiles, 'begin'), ''), times.warmupMs);
      setTimeout(() => writeFileSync(join(profiles, 'end'), ''), times.warmupMs + times.measureMs - 1_000);
    }
    const { callsPerSecond, p50Ms, p99Ms, cpu } = await runLoad(target, { clients, batch, keyCount, ...times });
    const latency = `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
    console.log(`${target.name} ${clients}x${batch}: ${(callsPerSecond * batch).toFixed(0)} values/s, ${latency}`);
    console.log(`processor time a call: ${cpuSum(cpu).toFixed(0)} us`);
    for (const [thread, micros] of cpu) console.log(`  ${thread.padEnd(24)}${micros.toFixed(0).padStart(8)}`);
  } finally {
    await stop();
    rmSync(folder, { recursive: true });
  }
}

async function start(
  system: string,
  folder: string,
  profiles: string,
  nodeOptions: string,
): Promise<{ readonly target: Target; stop(): Promise<void> }> {
  if (system === 'etcd') {
    const etcd = await EtcdCluster.start(folder);
    return { target: await etcd.leader(), stop: () => etcd.stop() };
  }
  const vectron = await VectronTarget.start(folder, profiles, nodeOptions);
  return { target: vectron.target(), stop: () => vectron.stop() };
}

main().catch((error) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
