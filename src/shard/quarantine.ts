import { VectronError } from '../base/errors';
import type { ReplicaId } from '../base/ids';
import { replicaStateKey } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';

/**
 * The durable word that a replica is damaged: it must not vote, lead or serve under its id again, whatever starts it. It
 * lasts until the replica's tombstone is on disk.
 */
export function putInQuarantine(state: KeyValueStore, replica: ReplicaId, reason: string): void {
  const key = replicaStateKey(replica, 'quarantine');
  const value = seal(key, reason.length, (body) => body.text(reason));
  state.write(new WriteBatch().put(key, value), { sync: true });
}

/** Why the replica is in quarantine, or null. A mark that is damaged itself is a mark. */
export function quarantineReason(state: KeyValueStore, replica: ReplicaId): string | null {
  const key = replicaStateKey(replica, 'quarantine');
  const value = state.get(key);
  if (value === undefined) return null;
  try {
    return unseal(key, value).text();
  } catch (thrown) {
    if (!(thrown instanceof VectronError) || thrown.code !== 'CORRUPT') throw thrown;
    return 'its mark of quarantine is damaged';
  }
}

/**
 * Adds the mark of a replica that is being destroyed: what a restart finds of it, a log without a state, must not vote. It
 * takes the place of a mark of damage.
 */
export function markDestruction(batch: WriteBatch, replica: ReplicaId): WriteBatch {
  const reason = 'it was being destroyed';
  const key = replicaStateKey(replica, 'quarantine');
  return batch.put(
    key,
    seal(key, reason.length, (body) => body.text(reason)),
  );
}

/** Deletes the mark of a replica whose tombstone is on disk. */
export function clearQuarantine(state: KeyValueStore, replica: ReplicaId): void {
  const key = replicaStateKey(replica, 'quarantine');
  if (state.get(key) !== undefined) state.write(new WriteBatch().delete(key), { sync: false });
}
