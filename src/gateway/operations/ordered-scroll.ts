import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { StoredPoint } from '../../protocol/data-messages';
import type { CollectionRecord } from '../../protocol/records';
import { comparePlaces, type Place } from '../../vector/order';
import type { AnswerOf, CallOf, Done, ScrollOrder } from '../calls';
import { cursorText } from '../validate/order';
import type { Core } from './core';
import { type Gathered, Scatter } from './scatter';
import { selectAttemptMs } from './search';

/** An answer that has reached this many bytes is given, though there may be more for its page. */
const pageBytesMax = 8 * 1024 * 1024;

/** One page in the order of a payload index: every shard gives its own next ones, which are merged. */
export function orderedScroll(
  core: Core,
  collection: CollectionRecord,
  call: CallOf<'scroll'>,
  order: ScrollOrder,
  until: MonotonicMs,
  done: Done<AnswerOf<'scroll'>>,
): void {
  const { filter, limit } = call;
  const selection = { kind: 'ordered' as const, ...order, countMax: limit };
  const scatter = new Scatter(core, {
    ...{ collection, until, read: call, allowPartial: false, attemptMs: selectAttemptMs },
    message: (header, dial) => ({ kind: 'data.select', ...header, filter, selection, ...dial }),
    done: (gathered) => {
      if (gathered instanceof VectronError) done({ ok: false, error: gathered });
      else done({ ok: true, answer: { ...merged(gathered, order, limit), served: gathered.served } });
    },
  });
  scatter.start();
}

interface Placed {
  readonly place: Place;
  readonly point: StoredPoint;
}

/** Nothing beyond the last point of a shard that has more may be given: what that shard has next may come before it. */
function merged({ answers }: Gathered, { descending }: ScrollOrder, limit: number) {
  const compare = (a: Placed, b: Placed): number => comparePlaces(a.place, b.place, descending);
  const all: Placed[] = [];
  let bound: Placed | null = null;
  let isDone = true;
  for (const { reply } of answers) {
    assert(reply.kind === 'data.selected', `a selection was answered by ${reply.kind}`);
    const { hits, points, done } = reply;
    const placed = points.map((point, i) => ({ place: { value: hits[i]?.score ?? 0, id: point.id }, point }));
    all.push(...placed);
    isDone &&= done;
    const last = placed[placed.length - 1];
    assert(done || last !== undefined, 'a page of an order has no points and is not the last one');
    if (!done && last !== undefined && (bound === null || compare(last, bound) < 0)) bound = last;
  }
  all.sort(compare);
  const page = cut(bound === null ? all : all.filter((one) => compare(one, bound as Placed) <= 0), limit);
  const last = page[page.length - 1];
  const next = (isDone && page.length === all.length) || last === undefined ? null : cursorText(last.place);
  return { points: page.map(({ point }) => point), next };
}

function cut(placed: readonly Placed[], limit: number): readonly Placed[] {
  let bytes = 0;
  for (const [at, { point }] of placed.entries()) {
    bytes += point.vector.length + point.payload.length;
    if (at === limit || (at > 0 && bytes > pageBytesMax)) return placed.slice(0, at);
  }
  return placed;
}
