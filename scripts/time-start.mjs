// Measures what a newcomer waits for: from `npm start` to the first search, from a bare clone and with packages installed,
// and how long a second start takes to find the data of the first. Fails when a limit is missed. Used by .ci/run.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from './lib/lock.mjs';
import { root } from './lib/process.mjs';

const limitsS = { bare: 120, installed: 60, second: 10 };
const giveUpMs = 300_000;
const stopMsMax = 20_000;

const folder = mkdtempSync(join(tmpdir(), 'vectron-start-'));
const clone = join(folder, 'vectron');
const data = join(clone, 'data');

function git(...args) {
  const done = spawnSync('git', args, { stdio: 'inherit' });
  if (done.status !== 0) throw new Error(`git ${args.join(' ')} failed`);
}

/** `npm start` until `isReached` with its cluster resolves; then Ctrl-C. Resolves with the seconds until then. */
async function start(isReached) {
  const startedMs = performance.now();
  const env = { ...process.env, VECTRON_GRPC_PORT: '0', VECTRON_HTTP_PORT: '0' };
  const child = spawn('npm', ['start'], { cwd: clone, env, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  const ended = new Promise((resolve_) => child.once('exit', (code, signal) => resolve_(signal ?? code)));
  const cluster = await Promise.race([
    clusterOf(),
    ended.then((how) => Promise.reject(new Error(`npm start ended: ${how}`))),
  ]);
  await isReached(cluster);
  const seconds = (performance.now() - startedMs) / 1000;
  const stoppedMs = performance.now();
  // To the whole group, as a terminal does.
  process.kill(-child.pid, 'SIGINT');
  await ended;
  // npm may be gone before the cluster is.
  while (isAlive(cluster.pid) && performance.now() - stoppedMs < stopMsMax) await sleep(20);
  if (isAlive(cluster.pid)) throw new Error(`the cluster still runs ${stopMsMax} ms after Ctrl-C`);
  console.log(`time-start: stopped in ${((performance.now() - stoppedMs) / 1000).toFixed(1)} s`);
  if (existsSync(join(data, 'cluster.json'))) throw new Error('cluster.json is still there after a clean stop');
  return seconds;
}

async function clusterOf() {
  const deadlineMs = performance.now() + giveUpMs;
  while (performance.now() < deadlineMs) {
    if (existsSync(join(data, 'cluster.json'))) {
      const { pid, http, apiKeyFile } = JSON.parse(readFileSync(join(data, 'cluster.json'), 'utf8'));
      return { pid, http, apiKey: readFileSync(resolve(data, apiKeyFile), 'utf8').split('\n')[0].trim() };
    }
    await sleep(50);
  }
  throw new Error(`no cluster.json after ${giveUpMs} ms`);
}

async function call({ http, apiKey }, method, path, body) {
  const headers = { 'content-type': 'application/json', 'x-api-key': apiKey };
  const reply = await fetch(`${http}${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
  return JSON.parse(text);
}

async function createAndSearch(cluster) {
  await call(cluster, 'POST', '/v1/collections', { name: 'first', dimension: 3, distance: 'cosine' });
  await call(cluster, 'POST', '/v1/collections/first/points', { points: [{ id: 'a', vector: [1, 0, 0] }] });
  await search(cluster);
}

async function search(cluster) {
  const { results } = await call(cluster, 'POST', '/v1/collections/first/points/search', {
    vector: [1, 0.1, 0],
    top_k: 1,
  });
  if (results[0]?.id !== 'a') throw new Error(`the first search found ${JSON.stringify(results)}`);
}

function report(what, seconds, limitS) {
  const isMet = seconds <= limitS;
  console.log(`time-start: ${what}: ${seconds.toFixed(1)} s (limit ${limitS} s)${isMet ? '' : ' MISSED'}`);
  if (!isMet) process.exitCode = 1;
}

try {
  git('clone', '--quiet', root, clone);
  report('first search from a bare clone', await start(createAndSearch), limitsS.bare);
  report('a second start finds the data of the first', await start(search), limitsS.second);
  for (const built of ['dist', '.build', 'native/build', 'data'])
    rmSync(join(clone, built), { recursive: true, force: true });
  report('first search with packages installed, nothing built', await start(createAndSearch), limitsS.installed);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
