import { dataVariants } from '../../src/protocol/data-messages';
import { groupVariants } from '../../src/protocol/group-messages';
import { logVariants } from '../../src/protocol/log-messages';
import { messageCodec } from '../../src/protocol/messages';
import { peerVariants } from '../../src/protocol/peer-messages';
import { placementVariants } from '../../src/protocol/placement-messages';

/** Spread into one object, the second of two equal tags would take the place of the first, and nobody would say so. */
test('no two kinds of message share a tag', () => {
  const groups: readonly object[] = [peerVariants, logVariants, dataVariants, placementVariants, groupVariants];
  const tags = groups.flatMap((variants) => Object.keys(variants));
  expect(tags.filter((tag, at) => tags.indexOf(tag) !== at)).toEqual([]);
  expect(tags.length).toBeGreaterThan(60);
  expect(messageCodec).toBeDefined();
});

test('no two tags stand for the same kind', () => {
  const kinds = [peerVariants, logVariants, dataVariants, placementVariants, groupVariants].flatMap((variants) =>
    Object.values(variants).map(([kind]) => kind as string),
  );
  expect(kinds.filter((kind, at) => kinds.indexOf(kind) !== at)).toEqual([]);
});
