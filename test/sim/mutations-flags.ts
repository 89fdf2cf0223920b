import { FlagDriver } from '../../src/actors/placement-driver-flags';
import { Levels } from '../../src/placement/levels';
import { type FlagRange, flagRange } from '../../src/protocol/flags';
import type { Descriptor } from '../../src/shard/descriptor';
import { ShardMachine } from '../../src/shard/shard-machine';
import { ShardSnapshotSink } from '../../src/shard/snapshot-sink';
import { type Mutation, patch } from './mutation';

interface Switching {
  descriptor: Descriptor;
  readonly options: { readonly flags: FlagRange };
}

/** Bugs in how changes of behaviour are switched on. */
export const flagMutations: readonly Mutation[] = [
  {
    name: 'flag-by-own-program',
    what: 'a flag is on wherever the program knows it, and not from the log’s entry on',
    patches: [
      patch<Switching, readonly unknown[]>(ShardMachine.prototype, 'applyBatch', (machine, original, args) => {
        machine.descriptor = { ...machine.descriptor, level: machine.options.flags.newest };
        return original(...args);
      }),
    ],
  },
  {
    name: 'flags-without-asking',
    what: 'flags are switched on as soon as the leading placement driver knows them',
    patches: [
      patch(FlagDriver.prototype, 'target', () => flagRange.newest),
      patch(Levels.prototype, 'missing', () => null),
    ],
  },
  {
    name: 'flags-forget-drivers',
    what: 'flags are switched on when all workers know them, whatever the placement drivers run',
    patches: [patch<Levels, [number, readonly unknown[]]>(Levels.prototype, 'driver', () => flagRange)],
  },
  {
    name: 'flags-lost-in-snapshots',
    what: 'who gets a snapshot is at level 0 again',
    patches: [
      patch<{ header: { level: number } }, readonly unknown[]>(
        ShardSnapshotSink.prototype,
        'finish',
        (sink, original) => {
          sink.header = { ...sink.header, level: 0 };
          return original();
        },
      ),
    ],
  },
  {
    name: 'flags-forgotten-at-restart',
    what: 'a shard is told its level by whoever leads, and forgets it when it starts again',
    patches: [
      patch<{ descriptor: Descriptor }, readonly unknown[]>(
        ShardMachine.prototype,
        'catchUpIndex',
        (machine, original) => {
          if (!forgetful.has(machine)) machine.descriptor = { ...machine.descriptor, level: 0 };
          forgetful.add(machine);
          return original();
        },
      ),
    ],
  },
];

/** Machines that have forgotten once. */
const forgetful = new WeakSet<object>();
