import { assert } from '../base/assert';
import type { LabelSet } from './ports';

/**
 * Numbers live points densely: the labels of a VectorIndex (ports.ts, invariant 5). The freed label that was freed last is
 * given out first.
 */
export class Labels {
  private readonly labels = new Map<string, number>();
  /** null: free. */
  private readonly ids: (string | null)[] = [];
  private readonly freed: number[] = [];

  /** All labels in use are below it. */
  get count(): number {
    return this.ids.length;
  }

  of(id: string): number {
    return this.labels.get(id) ?? -1;
  }

  idOf(label: number): string | null {
    return this.ids[label] ?? null;
  }

  /** The label of an id, given to it if it has none. */
  take(id: string): number {
    const held = this.labels.get(id);
    if (held !== undefined) return held;
    const label = this.freed.pop() ?? this.ids.length;
    this.ids[label] = id;
    this.labels.set(id, label);
    return label;
  }

  /** The label that is free now, or -1. */
  free(id: string): number {
    const label = this.labels.get(id);
    if (label === undefined) return -1;
    assert(this.ids[label] === id, 'a label belongs to one id');
    this.labels.delete(id);
    this.ids[label] = null;
    this.freed.push(label);
    return label;
  }
}

/** The labels of a set below `end`, each once. */
export function* labelsOf(set: LabelSet, end: number): Generator<number> {
  if ('labels' in set) {
    for (const label of set.labels) if (label < end) yield label;
    return;
  }
  for (let at = 0; at < set.words.length; at++) {
    for (let word = set.words[at] as number; word !== 0; ) {
      const bit = 31 - Math.clz32(word & -word);
      const label = at * 32 + bit;
      if (label < end) yield label;
      word &= word - 1;
    }
  }
}
