import { FencedLogEngine } from '../../src/storage/log-engine';
import { MemoryDisk, MemoryFence } from '../../src/storage/memory-disk';
import { MemoryStore } from '../../src/storage/memory-store';
import type { WriteBatch } from '../../src/storage/ports';
import { WorkerMachine } from './machine';
import { type Mutation, type Patch, patch } from './mutation';

/** What a store does that takes a read that failed for one that found nothing. */
const finding = (method: 'get' | 'getMany' | 'range', nothing: (args: readonly unknown[]) => unknown) =>
  patch<MemoryStore, readonly unknown[]>(MemoryStore.prototype, method, (_store, original, args) => {
    try {
      return original(...args);
    } catch (thrown) {
      if (String(thrown).includes('EIO')) return nothing(args);
      throw thrown;
    }
  });

/** A log that goes on after a write or a sync that failed with `errno`, as if nothing had been. */
const failuresIgnored = (errno: string): readonly Patch[] => [
  patch(MemoryFence.prototype, 'poison', () => undefined),
  patch<FencedLogEngine, [WriteBatch]>(FencedLogEngine.prototype, 'commit', (_engine, original, args) => {
    try {
      original(...args);
    } catch (thrown) {
      if (!String(thrown).includes(errno)) throw thrown;
    }
  }),
];

/** Bugs in what is made of disks that refuse, and of those that lie. */
export const diskMutations: readonly Mutation[] = [
  {
    name: 'failed-sync-ignored',
    what: 'after a sync of the log that failed everything goes on',
    patches: failuresIgnored('EIO'),
  },
  {
    name: 'mark-not-compared',
    what: 'stores that lack what had been synced are taken as they are, under the name they had',
    // Where a process looks, and not where the fault does: a disk that has lost nothing would be no lie.
    patches: [
      patch<{ isDeceived: boolean }, []>(WorkerMachine.prototype, 'retireIfCorrupt', (machine) => {
        machine.isDeceived = false;
      }),
      patch<MemoryDisk, []>(MemoryDisk.prototype, 'openLog', (_disk, original) => {
        const engine = original() as FencedLogEngine;
        Reflect.set(engine, 'corruption', null);
        return engine;
      }),
    ],
  },
  {
    name: 'read-error-is-nothing',
    what: 'a read that failed is taken for one that found nothing',
    patches: [
      finding('get', () => undefined),
      finding('getMany', ([keys]) => (keys as readonly unknown[]).map(() => undefined)),
      finding('range', () => []),
    ],
  },
  {
    name: 'full-disk-ignored',
    what: 'a write that found no room is taken for one that was made',
    patches: failuresIgnored('ENOSPC'),
  },
];
