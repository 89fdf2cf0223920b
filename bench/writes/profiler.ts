import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';
import { isMainThread, threadId } from 'node:worker_threads';

/**
 * Loaded ahead of a process's own code, and in each of its threads (`node --require`): takes a CPU profile from when a file
 * named `begin` lies in VECTRON_PROFILES until one named `end` does, and leaves it there as `node-thread.cpuprofile`.
 */
const directory = process.env['VECTRON_PROFILES'] ?? '';
const pollMs = 250;
const sampleMicros = 500;

if (directory !== '') begin();

function begin(): void {
  const timer = setInterval(() => {
    if (!existsSync(join(directory, 'begin'))) return;
    clearInterval(timer);
    record();
  }, pollMs).unref();
}

function record(): void {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: sampleMicros });
  session.post('Profiler.start');
  const timer = setInterval(() => {
    if (!existsSync(join(directory, 'end'))) return;
    clearInterval(timer);
    session.post('Profiler.stop', (error, result) => {
      if (error !== null) throw error;
      writeFileSync(join(directory, `${nameOfThread()}.cpuprofile`), JSON.stringify(result.profile));
    });
  }, pollMs).unref();
}

function nameOfThread(): string {
  const thread = isMainThread ? 'main' : readFileSync('/proc/thread-self/comm', 'utf8').trim();
  return `${process.env['VECTRON_NODE'] ?? process.pid}-${thread}-${threadId}`;
}
