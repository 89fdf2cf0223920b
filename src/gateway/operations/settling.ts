import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { Done } from '../calls';
import type { Core, Found } from './core';

/** What the placement driver has decided, and is carrying to every shard. */
interface Settling {
  readonly settled: boolean;
}

/** Between looks at whether every shard has it. */
const pollMs = 50;

/** Looks again until every shard has it, or time is up. */
export function awaitSettled<T extends Settling>(
  core: Core,
  until: MonotonicMs,
  look: (then: Found<T>) => void,
  done: Done<T>,
): void {
  look((found) => {
    if (found instanceof VectronError) done({ ok: false, error: found });
    else if (found.settled) done({ ok: true, answer: found });
    else if (until <= core.scope.now) done({ ok: false, error: new VectronError('DEADLINE_EXCEEDED', unsettled) });
    else core.scope.after(Math.min(pollMs, until - core.scope.now), () => awaitSettled(core, until, look, done));
  });
}

const unsettled = 'it is decided, but not every shard has it yet';
