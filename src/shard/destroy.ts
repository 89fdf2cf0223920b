import type { ReplicaId } from '../base/ids';
import { replicaStateKey } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { allChanges, allSpaces } from './point-keys';
import { clearQuarantine } from './quarantine';
import { clearProgress } from './restore-progress';
import { deleteOtherSchemas } from './schema-record';

/**
 * Deletes all that the state store holds of a replica, durably: the tombstone that follows in the log store says that there
 * is nothing left to delete. For one whose actor has ended for good; may be repeated.
 */
export function destroyReplicaState(state: KeyValueStore, replica: ReplicaId): void {
  const batch = new WriteBatch().delete(replicaStateKey(replica, 'descriptor'));
  state.write(clearProgress(clearQuarantine(batch, replica), replica), { sync: false });
  for (const { start, end } of [allSpaces(replica), allChanges(replica)]) state.deleteRange(start, end);
  deleteOtherSchemas(state, replica, []);
  state.sync();
}
