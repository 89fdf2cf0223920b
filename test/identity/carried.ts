import type { StructCodec, Variants } from '../../src/protocol/codec';
import { dataVariants } from '../../src/protocol/data-messages';
import { groupVariants } from '../../src/protocol/group-messages';
import { logVariants } from '../../src/protocol/log-messages';
import { peerVariants } from '../../src/protocol/peer-messages';
import { placementVariants } from '../../src/protocol/placement-messages';

/** What of DESIGN D7 a message or command may carry, and by which field. */
export const marks = {
  cluster: ['cluster'],
  shard: ['shard', 'report', 'fault', 'beat', 'beats'],
  epoch: ['epoch', 'confVersion', 'report', 'fault', 'beat', 'beats'],
  who: ['from', 'to', 'replica', 'worker', 'replicas', 'report', 'fault', 'beat', 'beats'],
  life: ['incarnation', 'storeIncarnation', 'life', 'lives', 'stream'],
  order: ['term', 'revision', 'change', 'index', 'write', 'message', 'meta', 'baseIndex', 'beat', 'beats'],
} as const;
export type Mark = keyof typeof marks;

const tables: readonly Variants[] = [peerVariants, dataVariants, placementVariants, groupVariants, logVariants];

/** The marks that each kind of message carries, by the fields of its codec. */
export function carried(): ReadonlyMap<string, ReadonlySet<Mark>> {
  const kinds = new Map<string, ReadonlySet<Mark>>();
  for (const table of tables) {
    for (const [kind, codec] of Object.values(table)) {
      const { names } = codec as StructCodec<unknown>;
      const has = (Object.keys(marks) as Mark[]).filter((mark) =>
        (marks[mark] as readonly string[]).some((field) => names.includes(field)),
      );
      kinds.set(kind, new Set(has));
    }
  }
  return kinds;
}
