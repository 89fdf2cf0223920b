import type { ReplicaId } from '../base/ids';
import { replicaStateKey } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { allChanges, allEnds, allSpaces } from './point-keys';
import { markDestruction } from './quarantine';
import { clearProgress } from './restore-progress';
import { deleteOtherSchemas } from './schema-record';

/**
 * Deletes all that the state store holds of a replica, durably, but for a mark that keeps what is left of it from running:
 * its log lives until the tombstone, and after that clearQuarantine() ends the mark. For a replica whose actor has ended
 * for good; may be repeated.
 */
export function destroyReplicaState(state: KeyValueStore, replica: ReplicaId): void {
  const batch = new WriteBatch().delete(replicaStateKey(replica, 'descriptor'));
  state.write(clearProgress(markDestruction(batch, replica), replica), { sync: false });
  for (const { start, end } of [allSpaces(replica), allChanges(replica), allEnds(replica)])
    state.deleteRange(start, end);
  deleteOtherSchemas(state, replica, []);
  state.sync();
}
