import { Bits } from './bits';

const wordBits = 32;

/**
 * What is in at least `countMin` of the sets, one or more. 32 slots at a time are counted in binary: plane b has the bit of
 * 2^b of each count (bit-sliced arithmetic: O'Neil and Quass, Improved Query Performance with Variant Indexes, 1997, section 3),
 * so that the cost grows with the number of sets and hardly with the threshold.
 */
export function inAtLeast(sets: readonly Bits[], countMin: number): Bits {
  const views = sets.map((set) => set.view);
  const length = views.reduce((longest, view) => Math.max(longest, view.length), 0);
  const planes = new Uint32Array(wordBits - Math.clz32(Math.max(sets.length, countMin)));
  const found = new Bits(length * wordBits);
  for (let at = 0; at < length; at++) {
    countWord(planes, views, at);
    found.view[at] = atLeast(planes, countMin);
  }
  return found;
}

/** Adds the word of each set to the counts, from zero. */
function countWord(planes: Uint32Array, views: readonly Uint32Array[], at: number): void {
  planes.fill(0);
  for (const view of views) {
    let carry = view[at] ?? 0;
    for (let plane = 0; carry !== 0; plane++) {
      const before = planes[plane] as number;
      planes[plane] = before ^ carry;
      carry &= before;
    }
  }
}

/** From the highest bit on: a count is above once it has a bit that the threshold has not, and all higher ones were equal. */
function atLeast(planes: Uint32Array, countMin: number): number {
  let above = 0;
  let equal = -1;
  for (let plane = planes.length - 1; plane >= 0; plane--) {
    const bits = planes[plane] as number;
    if (((countMin >>> plane) & 1) === 1) equal &= bits;
    else {
      above |= equal & bits;
      equal &= ~bits;
    }
  }
  return above | equal;
}
