import { createXXHash3 } from 'hash-wasm';
import { utf8 } from '../../base/bytes';
import { keyHash64 } from '../../base/ids';
import type { KeyHash } from '../key-hash';

/** Loads the routing hash. One call a thread; the result is synchronous, about half a microsecond an id. */
export async function loadKeyHash(): Promise<KeyHash> {
  const hasher = await createXXHash3(0, 0);
  return (pointId) => {
    const digest = hasher.init().update(utf8(pointId)).digest('binary');
    const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
    return keyHash64(view.getBigUint64(0, false));
  };
}
