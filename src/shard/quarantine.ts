import { VectronError } from '../base/errors';
import type { ReplicaId } from '../base/ids';
import { replicaStateKey } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';

/**
 * The durable word that a replica is damaged: it must not vote, lead or serve under its id again, whatever starts it. Only
 * the replica's own destruction clears it.
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

/** Adds the end of the quarantine to a batch that destroys the replica. */
export const clearQuarantine = (batch: WriteBatch, replica: ReplicaId): WriteBatch =>
  batch.delete(replicaStateKey(replica, 'quarantine'));
