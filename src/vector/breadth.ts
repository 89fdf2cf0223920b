import { efMax, searchKMax } from '../base/limits';

/** How widely a search looks. Gateways and shards reckon alike, so that the one can tell what the other did. */
export interface Breadth {
  readonly k: number;
  /** 0: chosen. */
  readonly ef: number;
  /** So many times k are looked for. Default 1. */
  readonly oversampling?: number;
  /** Or so many, if that is more. */
  readonly rerank?: number;
}

const efFloor = 64;

/** Hits to look for, each of which is measured again exactly; the best k of them are given. */
export const wantedHits = ({ k, oversampling = 1, rerank = 0 }: Omit<Breadth, 'ef'>): number =>
  Math.min(searchKMax, Math.max(rerank, Math.ceil(k * oversampling)));

/** Twice as many candidates as hits leave the walk room to be wrong about half of what it keeps. */
export const efFor = (wanted: number, ef: number): number =>
  Math.min(efMax, ef === 0 ? Math.max(efFloor, 2 * wanted) : Math.max(ef, wanted));
