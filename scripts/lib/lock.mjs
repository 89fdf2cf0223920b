import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Problem } from './say.mjs';

const waitMaxMs = 15 * 60_000;
const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

/** One holder at a time, across processes; a holder that died holds nothing. The file names the holder's process id. */
export async function withLock(file, work) {
  await acquire(file);
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

async function acquire(file) {
  mkdirSync(dirname(file), { recursive: true });
  const mine = `${file}.${process.pid}`;
  const started = performance.now();
  let told = false;
  writeFileSync(mine, String(process.pid));
  try {
    while (!tryLink(mine, file)) {
      const holder = holderOf(file);
      if (holder !== null && !isAlive(holder)) evict(file);
      if (!told) console.error(`vectron: waiting for another set-up${holder === null ? '' : ` (process ${holder})`} …`);
      told = true;
      if (performance.now() - started > waitMaxMs)
        throw new Problem(`${file} is held for too long; remove it if nothing runs`);
      await pause();
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** A hard link appears with its content or not at all, and only if there is none: a lock that always names its holder. */
function tryLink(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function holderOf(file) {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Removes a dead holder's lock. Two waiters must not: the second would remove the first one's fresh lock. */
function evict(file) {
  const guard = `${file}.evict`;
  try {
    mkdirSync(guard);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    dropAbandoned(guard);
    return;
  }
  try {
    const holder = holderOf(file);
    if (holder !== null && !isAlive(holder)) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { recursive: true, force: true });
  }
}

/** An eviction takes microseconds: a guard of ten seconds ago was left by a process that died in between. */
function dropAbandoned(guard) {
  const age = Date.now() - (statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  if (age > 10_000) rmSync(guard, { recursive: true, force: true });
}
