import { assert } from '../../base/assert';
import type { MonotonicMs } from '../../base/time';
import type { AnswerOf, Done } from '../calls';
import type { Core } from './core';

/** As the placement driver's leader knows it. */
export function clusterFlags(core: Core, until: MonotonicMs, done: Done<AnswerOf<'flags'>>): void {
  core.placement.ask(
    until,
    (request) => ({ kind: 'pd.flags', request }),
    (outcome) => {
      assert(outcome.kind !== 'replaced', 'the placement driver is never replaced');
      if (outcome.kind === 'failed') return done({ ok: false, error: outcome.error });
      const { reply } = outcome;
      assert(reply.kind === 'pd.flagsReply', () => `the placement driver answered by ${reply.kind}`);
      const { level, nodes, shards } = reply;
      done({ ok: true, answer: { level, nodes, shards } });
    },
  );
}
