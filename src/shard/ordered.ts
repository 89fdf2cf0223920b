import { VectronError } from '../base/errors';
import type { Hit, Selection, StoredPoint } from '../protocol/data-messages';
import type { Bounds } from '../protocol/filters';
import type { Schema } from '../protocol/schemas';
import { comparePlaces, type OrderedType, orderedTypes, type Place } from '../vector/order';
import type { Bits } from '../vector/payload/bits';
import type { NumberIndex } from '../vector/payload/number-index';
import type { VectorIndex } from '../vector/ports';
import { isThere, type PointView, readRecords, stored } from './shard-query';

/** A page of the points that match, in the order of their values at a key. */
export type Ordered = Extract<Selection, { readonly kind: 'ordered' }>;

/** Of the vectors and payloads of one page, about; the first point is given whatever its size. */
const pageBytesMax = 4 * 1024 * 1024;
/** Pairs of the index that one turn goes through: beyond, all records are read, a slice a turn. */
const pairsMax = 50_000;

/** Throws FAILED_PRECONDITION if the shard has no index that this could follow. */
export function orderedType(schema: Schema, key: string): OrderedType {
  const index = schema.indexes.find((one) => one.key === key);
  const type = orderedTypes.find((one) => one === index?.type);
  if (type !== undefined) return type;
  const has = index === undefined ? 'has no payload index' : `has an index of type ${index.type}`;
  const message = `order_by: ${key} ${has}; an order needs one of type ${orderedTypes.join(', ')}`;
  throw new VectronError('FAILED_PRECONDITION', message, { field: 'order_by' });
}

/** `done`: there is nothing behind the page. */
export interface OrderedPage {
  readonly hits: readonly Hit[];
  readonly points: readonly StoredPoint[];
  readonly done: boolean;
}

const noBytes = new Uint8Array(0);

/** The points at the first of these places, each with its value as the score of a hit. Throws CORRUPT. */
export function pageAt(view: PointView, places: readonly Place[], countMax: number): OrderedPage {
  const hits: Hit[] = [];
  const points: StoredPoint[] = [];
  const ids = places.map((place) => place.id);
  let bytes = 0;
  let at = 0;
  for (const [id, record] of readRecords(view, ids)) {
    if (points.length === countMax) break;
    const { value } = places[at] as Place;
    // The index may be ahead of a store that lost its newest writes in a power cut; the log is about to bring them back.
    if (isThere(view, record)) {
      bytes += record.vector.length + record.payload.length;
      if (bytes > pageBytesMax && points.length > 0) break;
      points.push(stored(id, record));
      hits.push({ id, score: value, payload: noBytes, vector: noBytes });
    }
    at++;
  }
  return { hits, points, done: at === places.length };
}

/** The places behind the cursor that a page can be made of, by the index; null: it would take too long. One more tells that there are more. */
export function placesByIndex(
  order: NumberIndex,
  index: Pick<VectorIndex, 'idOf'>,
  passing: Bits | null,
  { descending, after, countMax }: Ordered,
): Place[] | null {
  const places: Place[] = [];
  let pairs = 0;
  const visit = (slot: number, value: number): boolean => {
    if (++pairs > pairsMax) return false;
    // Those of one value are put in the order of their ids, so that all of them are needed.
    const last = places[places.length - 1];
    if (places.length > countMax && last !== undefined && last.value !== value) return false;
    if (passing?.has(slot) === false || order.orderValue(slot, descending) !== value) return true;
    const id = index.idOf(slot);
    const place = id === null ? null : { value, id };
    if (place !== null && (after === null || comparePlaces(place, after, descending) > 0)) places.push(place);
    return true;
  };
  order.inOrder(boundsAfter(after, descending), descending, visit);
  if (pairs > pairsMax) return null;
  return places.sort((a, b) => comparePlaces(a, b, descending));
}

function boundsAfter(after: Place | null, descending: boolean): Bounds {
  const value = after?.value ?? null;
  return { gt: null, lt: null, gte: descending ? null : value, lte: descending ? value : null };
}
