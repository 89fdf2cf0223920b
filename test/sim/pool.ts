import { fork } from 'node:child_process';

/** Young garbage of a run lives briefly: with room for much of it, little is alive when it is collected. */
/** No stacks: refusals are errors, and looking where each was made took a tenth of the time. `--seed` has them. */
const flags = ['--max-semi-space-size=64', '--stack-trace-limit=0'];

/** Spreads jobs over child processes of this program, which serve() them; each result is reported as it comes. */
export function runAll<Job, Result>(
  program: string,
  processCount: number,
  jobs: readonly Job[],
  onResult: (result: Result) => void,
): Promise<void> {
  const left = [...jobs];
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(program, ['--worker'], { execArgv: [...process.execArgv, ...flags] });
      const feed = (): void => {
        const job = left.shift();
        if (job === undefined) child.disconnect();
        else child.send({ job });
      };
      child.on('message', (message: { readonly result?: Result }) => {
        if (message.result !== undefined) onResult(message.result);
        feed();
      });
      child.on('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`a simulator process ended with ${code}`)),
      );
    });
  return Promise.all(Array.from({ length: processCount }, one)).then(() => undefined);
}

/** In a child process: jobs come in, results go out. */
export function serve<Job, Result>(work: (job: Job) => Result): void {
  process.on('message', ({ job }: { readonly job: Job }) => process.send?.({ result: work(job) }));
  process.send?.({});
}
