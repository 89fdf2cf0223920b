import { bytesOfFloats, utf8 } from '../../src/base/bytes';
import type { Prng } from '../../src/base/prng';
import { plainWrite } from '../../src/protocol/commands';
import { defaultStorage } from '../../src/protocol/records';
import type { SimCluster } from './cluster';
import { collection, dimension, vectorOf } from './sim-client';

const callTimeoutMs = 8_000;
const sweepMs = 500;

/**
 * One client that creates, fills and deletes collections of its own all the time, so that replicas come and go under
 * faults. Nothing of a deleted collection may be left when everything is at rest (see final-check).
 */
export class Churn {
  created = 0;
  private readonly random: Prng;
  private active = true;
  private busy = false;
  private swept = false;

  constructor(
    private readonly cluster: SimCluster,
    private readonly everyMs: number,
  ) {
    this.random = cluster.world.random.fork();
  }

  /** Nothing of it exists any more, as far as the placement driver has said. */
  get idle(): boolean {
    return this.everyMs === 0 || this.swept;
  }

  start(): void {
    if (this.everyMs > 0) this.later(() => this.create());
  }

  /** Nothing new comes, and what is there is deleted: also what a late copy of a request has brought back. */
  stop(): void {
    this.active = false;
    if (this.everyMs > 0) this.sweep();
  }

  private later(run: () => void): void {
    this.cluster.world.schedule(this.random.float() * 2 * this.everyMs, 'churn', null, run);
  }

  private create(): void {
    if (!this.active) return;
    this.busy = true;
    const name = `churn-${++this.created}`;
    this.cluster.world.tally.add('churn');
    const hnsw = { m: 8, efConstruction: 32 };
    const wanted = { dimension, metric: 'euclidean', hnsw, storage: defaultStorage, ttlMs: 0 } as const;
    const shape = { ...wanted, shardCount: 1, replicationFactor: 3 } as const;
    this.cluster.call({ kind: 'createCollection', name, ...shape }, callTimeoutMs, () => this.fill(name));
  }

  private fill(name: string): void {
    const points = Array.from({ length: this.random.between(1, 20) }, (_, i) => ({
      id: `point-${i}`,
      vector: bytesOfFloats(vectorOf(i + 1)),
      payload: utf8('{"serial":0}'),
    }));
    this.cluster.call({ kind: 'upsert', collection: name, points, options: plainWrite }, callTimeoutMs, () =>
      this.later(() => this.drop(name)),
    );
  }

  private drop(name: string): void {
    this.cluster.call({ kind: 'deleteCollection', name }, callTimeoutMs, () => {
      this.busy = false;
      this.later(() => this.create());
    });
  }

  private sweep(): void {
    this.cluster.call({ kind: 'listCollections' }, callTimeoutMs, (outcome) => {
      const names = outcome.ok ? outcome.answer.names.filter((name) => name !== collection) : [];
      for (const name of names) {
        this.cluster.call({ kind: 'deleteCollection', name }, callTimeoutMs, () => undefined);
      }
      this.swept = outcome.ok && names.length === 0 && !this.busy;
      if (!this.swept) this.cluster.world.schedule(sweepMs, 'churn', null, () => this.sweep());
    });
  }
}
