import { setTimeout as sleep } from 'node:timers/promises';
import type { VectronClient } from '../../src/client/node';

const stepMs = 1;

/** One search every 1/rate seconds, whatever became of those before it; latency counts from when a search was due. */
export class OpenSearches {
  private readonly latenciesMs: number[] = [];
  private readonly open = new Set<Promise<void>>();
  private running: Promise<void> | null = null;
  private ended = false;
  private sent = 0;
  private failed = 0;

  constructor(
    private readonly client: VectronClient,
    private readonly collection: string,
    private readonly queries: readonly Float32Array[],
    private readonly ef: number,
    private readonly ratePerSecond: number,
  ) {}

  start(): void {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.ended = true;
    await this.running;
    await Promise.all(this.open);
  }

  percentile(percent: number): number {
    const sorted = [...this.latenciesMs].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
  }

  summary(): string {
    const parts = [50, 95, 99].map((percent) => `p${percent} ${this.percentile(percent).toFixed(1)} ms`);
    return `${parts.join(', ')} of ${this.sent} (${this.failed} failed)`;
  }

  private async run(): Promise<void> {
    const startedMs = performance.now();
    const due = (): number => startedMs + (this.sent * 1_000) / this.ratePerSecond;
    while (!this.ended) {
      for (let dueMs = due(); dueMs <= performance.now(); dueMs = due()) {
        const search = this.send(dueMs, this.sent++);
        this.open.add(search);
        void search.then(() => this.open.delete(search));
      }
      await sleep(stepMs);
    }
  }

  private async send(dueMs: number, at: number): Promise<void> {
    const vector = this.queries[at % this.queries.length] as Float32Array;
    try {
      await this.client.search(this.collection, { vector, topK: 10, ef: this.ef });
      this.latenciesMs.push(performance.now() - dueMs);
    } catch {
      // A search that was refused has no latency; how many there were is part of what is told.
      this.failed++;
    }
  }
}
