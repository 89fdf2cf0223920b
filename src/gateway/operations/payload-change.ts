import { utf8 } from '../../base/bytes';
import { VectronError } from '../../base/errors';
import { payloadBytesMax } from '../../base/limits';
import { parsedPayload } from '../../vector/filter-match';
import type { PayloadChange } from '../calls';

/** Throws INVALID_ARGUMENT if the payload would become too large. */
export function changedPayload(id: string, payload: Uint8Array, { set, remove, replace }: PayloadChange): Uint8Array {
  const before = replace ? {} : (parsedPayload(payload) as Record<string, unknown>);
  const kept = Object.entries(before).filter(([key]) => !remove.includes(key));
  const bytes = utf8(JSON.stringify({ ...Object.fromEntries(kept), ...set }));
  if (bytes.length <= payloadBytesMax) return bytes;
  const message = `set: the payload of point ${id} would have ${bytes.length} bytes, at most ${payloadBytesMax} are allowed`;
  throw new VectronError('INVALID_ARGUMENT', message, { field: 'set' });
}
