#!/usr/bin/env node
import { capacityCommand } from './capacity-command';
import { loadEnvironment, type Service } from './config/env-files';
import { describeConfig, parseConfig } from './config/schema';
import { flagsCommand } from './flags-command';
import { messageOf } from './node-options';
import { type RunningService, runDev, runGateway, runPlacement, runWorker } from './services';

const usage =
  'usage: vectron dev | pd | worker | gateway | config | flags [http://gateway:port] | capacity http://gateway:port --points N (--collection C | --dimension D) (settings, and VECTRON_API_KEY, by environment)';
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function start(service: Service): Promise<RunningService> {
  const environment = loadEnvironment(service, process.cwd(), process.env);
  switch (service) {
    case 'dev':
      return runDev(parseConfig('dev', environment), say);
    case 'pd':
      return runPlacement(parseConfig('pd', environment), say);
    case 'worker':
      return runWorker(parseConfig('worker', environment), say);
    case 'gateway':
      return runGateway(parseConfig('gateway', environment), say);
  }
}

/** Some shells deliver one Ctrl-C twice: what follows so soon is not a second wish. */
const sameSignalMs = 1_000;

/** The first signal stops cleanly, a later one at once. */
function stopOnSignal(service: Promise<RunningService>): void {
  let stoppingSinceMs: number | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    const nowMs = performance.now();
    if (stoppingSinceMs !== null) {
      if (nowMs - stoppingSinceMs > sameSignalMs) process.exit(130);
      return;
    }
    stoppingSinceMs = nowMs;
    say(`${signal}: stopping`);
    service
      .then((running) => running.stop())
      .then(() => process.exit(0))
      .catch((error: unknown) => fail(error));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

function fail(error: unknown): never {
  process.stderr.write(`vectron: ${messageOf(error)}\n`);
  process.exit(1);
}

const services: readonly Service[] = ['dev', 'pd', 'worker', 'gateway'];
const command = process.argv[2] ?? '';
if (command === 'config') say(services.map((service) => describeConfig(service)).join('\n\n'));
else if (command === 'capacity') {
  capacityCommand(process.argv.slice(3), process.env['VECTRON_API_KEY']).then(say, fail);
} else if (command === 'flags') {
  flagsCommand(process.argv[3], process.env['VECTRON_API_KEY']).then(say, fail);
} else if ((services as readonly string[]).includes(command)) {
  // Signals are listened for before anything has begun: starting takes time.
  const running = Promise.resolve().then(() => start(command as Service));
  stopOnSignal(running);
  running.catch(fail);
} else fail(new Error(usage));
