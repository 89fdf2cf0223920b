import { syncBuiltinESMExports } from 'node:module';
import * as threads from 'node:worker_threads';

/**
 * Preloaded (--require) into a process under test: on SIGUSR2 it ends one of the process's threads, each as likely, as
 * worker.terminate() does, and says so on standard error. Not part of the product, which has no such order. The variable
 * THREAD_KILL_ONLY keeps it to threads whose entry file has that in its path.
 */
function install(): void {
  const only = process.env['THREAD_KILL_ONLY'] ?? '';
  const alive: threads.Worker[] = [];
  const { Worker } = threads;
  class TrackedWorker extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      if (!String(args[0]).includes(only)) return;
      alive.push(this);
      this.once('exit', () => alive.splice(alive.indexOf(this), 1));
    }
  }
  // The namespace of an ES import cannot be written to; the module object behind it can.
  const builtin = require('node:worker_threads') as { Worker: typeof Worker };
  builtin.Worker = TrackedWorker;
  syncBuiltinESMExports();
  process.on('SIGUSR2', () => {
    const victim = alive[Math.floor(Math.random() * alive.length)];
    if (victim === undefined) return;
    const { threadId } = victim;
    victim
      .terminate()
      .then(() => process.stderr.write(`thread-kill: ended thread ${threadId}\n`))
      .catch((error: unknown) => process.stderr.write(`thread-kill: failed: ${String(error)}\n`));
  });
}

if (threads.isMainThread) install();
