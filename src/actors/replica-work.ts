import { invalid, type VectronError } from '../base/errors';
import type { LogIndex } from '../base/ids';
import { efMax, oversamplingMax, scrollPageMax, scrollSlicesMax, searchKMax } from '../base/limits';
import type { Hit, Query, QueryStats, Selection } from '../protocol/data-messages';
import type { MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import { vectorFault } from '../shard/command-faults';
import type { Selecting } from '../shard/selecting';
import type { ShardMachine } from '../shard/shard-machine';
import { checkWhole } from '../vector/metrics';

/** A read that takes more than one turn. Each slice may throw CORRUPT, and what the caller is to be told. */
export interface Work {
  /** One slice; true when result() has the answer for the state as it is then. */
  advance(): boolean;
  close(): void;
}

export type SelectMessage = MessageOf<'data.select'>;
export type QueryMessage = MessageOf<'data.query' | 'data.tunedQuery'>;
type Shape = ReplicaSpec['collection'];

/** Throws INVALID_ARGUMENT for what no gateway sends. */
export function selecting(machine: ShardMachine, { filter, selection }: SelectMessage, shape: Shape): Selecting {
  checkSelection(selection, shape.dimension);
  return machine.select(filter, selection, shape.metric);
}

interface Result {
  readonly hits: readonly Hit[];
  readonly stats: QueryStats;
}

/** Several searches one after the other, at least one turn each: none of them keeps others waiting for long. */
export class QueryWork implements Work {
  readonly results: Result[] = [];
  private current: Selecting | null = null;
  /** Of the first answer: the oldest state that any of them is of. */
  private firstIndex: LogIndex | null = null;

  constructor(
    private readonly machine: ShardMachine,
    private readonly queries: readonly Query[],
    private readonly shape: Shape,
  ) {
    for (const query of queries) checkQuery(query, shape.dimension);
  }

  get appliedIndex(): LogIndex {
    return this.firstIndex ?? this.machine.appliedIndex;
  }

  advance(): boolean {
    const query = this.queries[this.results.length];
    if (query === undefined) return true;
    const result = query.filter === null ? this.search(query) : this.select(query);
    if (result === null) return false;
    this.firstIndex ??= this.machine.appliedIndex;
    this.results.push(result);
    return this.results.length === this.queries.length;
  }

  close(): void {
    this.current?.close();
    this.current = null;
  }

  private search(query: Query): Result {
    const { hits, stats } = this.machine.search(query);
    const micros = Math.round(stats.micros);
    return { hits, stats: { ...stats, micros, matches: stats.points, estimate: null } };
  }

  /** Null: not yet. */
  private select(query: Query): Result | null {
    this.current ??= this.machine.select(query.filter, { kind: 'nearest', ...query }, this.shape.metric);
    if (!this.current.advance()) return null;
    const { hits, strategy, distances, visited, estimate, micros, count, stored } = this.current.result();
    this.close();
    const stats = { strategy, distances, visited, estimate, matches: count, points: stored };
    return { hits, stats: { ...stats, micros: Math.round(micros) } };
  }
}

function checkQuery({ vector, k, ef, oversampling, rerank = 0 }: Query, dimension: number): void {
  throwIf(vectorFault(vector, dimension, 'vector'));
  checkWhole(k, 1, searchKMax, 'k');
  checkWhole(ef, 0, efMax, 'ef');
  checkWhole(rerank, 0, searchKMax, 'rerank');
  if (!(oversampling >= 1 && oversampling <= oversamplingMax)) throw invalid('oversampling', 'is out of range');
}

function checkSelection(selection: Selection, dimension: number): void {
  if (selection.kind === 'nearest') {
    throwIf(vectorFault(selection.vector, dimension, 'vector'));
    checkWhole(selection.k, 1, searchKMax, 'k');
  } else if (selection.kind === 'page') {
    checkWhole(selection.countMax, 1, scrollPageMax, 'limit');
    checkWhole(selection.slices, 1, scrollSlicesMax, 'slices');
    checkWhole(selection.slice, 0, selection.slices - 1, 'slice');
  } else if (selection.kind === 'ordered') {
    checkWhole(selection.countMax, 1, scrollPageMax, 'limit');
  }
}

function throwIf(fault: VectronError | null): void {
  if (fault !== null) throw fault;
}
