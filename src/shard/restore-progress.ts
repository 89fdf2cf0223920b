import { asVectronError } from '../base/errors';
import type { ReplicaId } from '../base/ids';
import { bytes, nullable, struct, type TypeOf, u8, u64, varint } from '../protocol/codec';
import { snapshotMetaCodec } from '../protocol/raft-messages';
import { replicaStateKey } from '../storage/keys';
import type { KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';
import { formatOf } from './descriptor';
import { snapshotHeaderCodec } from './snapshot-source';

/**
 * How far a snapshot was taken, written in the batch that holds the records of its latest chunk: whatever prefix of the
 * batches survives a crash, it speaks of exactly the records that are there. `rest`: bytes of a record cut by a chunk's end.
 */
const progressCodec = struct({
  format: u8,
  stream: varint,
  meta: snapshotMetaCodec,
  generation: varint,
  chunks: varint,
  header: nullable(snapshotHeaderCodec),
  rest: bytes,
  points: varint,
  records: varint,
  digest: u64,
});
export type RestoreProgress = Omit<TypeOf<typeof progressCodec>, 'format'>;
const formatMax = 2;

export function putProgress(batch: WriteBatch, replica: ReplicaId, progress: RestoreProgress): void {
  const key = replicaStateKey(replica, 'restore');
  const format = formatOf(progress.header?.level ?? 0);
  batch.put(
    key,
    seal(key, 128 + progress.rest.length, (body) => progressCodec.write(body, { ...progress, format })),
  );
}

/** Null: there is none, or none that can be used, which only costs a repetition. */
export function readProgress(store: KeyValueStore, replica: ReplicaId): RestoreProgress | null {
  const key = replicaStateKey(replica, 'restore');
  const value = store.get(key);
  if (value === undefined) return null;
  try {
    const progress = progressCodec.read(unseal(key, value));
    return progress.format <= formatMax ? progress : null;
  } catch (thrown) {
    const { code } = asVectronError(thrown);
    if (code === 'CORRUPT' || code === 'UNSUPPORTED_VERSION') return null;
    throw thrown;
  }
}

export const clearProgress = (batch: WriteBatch, replica: ReplicaId): WriteBatch =>
  batch.delete(replicaStateKey(replica, 'restore'));
