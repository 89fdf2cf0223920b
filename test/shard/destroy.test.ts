import { expect, test } from '@jest/globals';
import { keyHash64, replicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { destroyReplicaState } from '../../src/shard/destroy';
import { clearQuarantine, quarantineReason } from '../../src/shard/quarantine';
import { pointKey, replicaStateKey, spaceOf } from '../../src/storage/keys';
import { MemoryStore } from '../../src/storage/memory-store';
import { WriteBatch } from '../../src/storage/ports';

/** The tombstone that follows is synced: what it calls gone must not come back with a power cut, as nobody would look. */
test('a destroyed replica stays destroyed through a power cut', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const store = new MemoryStore();
    const replica = replicaId(7);
    const neighbour = pointKey(spaceOf(replicaId(8), 0), keyHash64(1n), Uint8Array.of(1));
    const batch = new WriteBatch().put(replicaStateKey(replica, 'descriptor'), Uint8Array.of(1));
    for (let i = 0; i < 40; i++) {
      batch.put(pointKey(spaceOf(replica, i % 3), keyHash64(BigInt(i)), Uint8Array.of(i)), Uint8Array.of(i));
    }
    store.write(batch.put(neighbour, Uint8Array.of(9)), { sync: true });
    destroyReplicaState(store, replica);
    store.crash(new Prng(seed));
    expect(quarantineReason(store, replica)).toBe('it was being destroyed');
    clearQuarantine(store, replica);
    expect(store.size).toBe(1);
    expect(store.get(neighbour)).toEqual(Uint8Array.of(9));
  }
});
