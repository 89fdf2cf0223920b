import { assert } from '../base/assert';

export interface Scored {
  readonly id: string;
  /** Larger is better. */
  readonly score: number;
}

/** Best first; equal scores in the order of their ids, so that every replica and every merge answers alike. */
export function compareHits(a: Scored, b: Scored): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** Keeps the best k of the hits offered: a binary heap with the worst kept hit on top. */
export class TopK<T extends Scored> {
  private readonly heap: T[] = [];

  constructor(private readonly k: number) {
    assert(Number.isSafeInteger(k) && k >= 1, 'TopK: k must be at least 1');
  }

  offer(hit: T): void {
    if (this.heap.length < this.k) {
      this.heap.push(hit);
      this.siftUp(this.heap.length - 1);
    } else if (compareHits(hit, this.at(0)) < 0) {
      this.heap[0] = hit;
      this.siftDown();
    }
  }

  /** Best first. */
  sorted(): T[] {
    return [...this.heap].sort(compareHits);
  }

  private at(position: number): T {
    return this.heap[position] as T;
  }

  private siftUp(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (compareHits(this.at(child), this.at(parent)) <= 0) return;
      this.swap(child, parent);
      child = parent;
    }
  }

  private siftDown(): void {
    let parent = 0;
    for (;;) {
      let worst = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < this.heap.length && compareHits(this.at(child), this.at(worst)) > 0) worst = child;
      }
      if (worst === parent) return;
      this.swap(parent, worst);
      parent = worst;
    }
  }

  private swap(a: number, b: number): void {
    const kept = this.at(a);
    this.heap[a] = this.at(b);
    this.heap[b] = kept;
  }
}

/**
 * The global best k of several best-first lists. An id found in more than one list (a point whose shard is moving
 * between two answers) is kept once, with its best score.
 */
export function mergeTopK<T extends Scored>(lists: readonly (readonly T[])[], k: number): T[] {
  assert(Number.isSafeInteger(k) && k >= 1, 'mergeTopK: k must be at least 1');
  let round: (readonly T[])[] = [...lists];
  while (round.length > 1) {
    const next: (readonly T[])[] = [];
    for (let i = 0; i < round.length; i += 2) next.push(mergeTwo(round[i] ?? [], round[i + 1] ?? [], k));
    round = next;
  }
  return mergeTwo(round[0] ?? [], [], k);
}

function mergeTwo<T extends Scored>(left: readonly T[], right: readonly T[], k: number): T[] {
  const merged: T[] = [];
  const seen = new Set<string>();
  let l = 0;
  let r = 0;
  while (merged.length < k) {
    const a = left[l];
    const b = right[r];
    const hit = b === undefined || (a !== undefined && compareHits(a, b) <= 0) ? a : b;
    if (hit === undefined) break;
    if (hit === a) l++;
    else r++;
    if (seen.has(hit.id)) continue;
    seen.add(hit.id);
    merged.push(hit);
  }
  return merged;
}
