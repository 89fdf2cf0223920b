import { setTimeout as sleep } from 'node:timers/promises';
import { type VectronClient, VectronClientError } from '../../src/client/node';
import type { Ledger } from './ledger';

/** Of one attempt; the write is sent again until it is acknowledged. */
const attemptTimeoutMs = 3_000;
const retryPauseMs = 20;

/** Clients that write one point after the other, each new, and send each until it is acknowledged. */
export class Writers {
  private running: Promise<void>[] = [];
  private isStopping = false;
  private readonly counts: number[];
  private longest = 0;
  private total = 0;

  constructor(
    /** Shared out among the writers in turn: one a gateway. */
    private readonly clients: readonly [VectronClient, ...VectronClient[]],
    private readonly collection: string,
    private readonly ledger: Ledger,
    private readonly count: number,
  ) {
    this.counts = Array<number>(count).fill(0);
  }

  get acknowledged(): number {
    return this.total;
  }

  /** The longest that a client waited for one acknowledgement, all attempts together. */
  get longestWaitMs(): number {
    return this.longest;
  }

  start(): void {
    this.running = Array.from({ length: this.count }, (_, writer) => this.write(writer));
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }

  /** Resolves, with the time, when every client has had `more` points acknowledged; ten meet both shards of two. */
  async everyWriterAcknowledged(timeoutMs: number, more = 10): Promise<number> {
    const before = [...this.counts];
    const deadlineMs = performance.now() + timeoutMs;
    while (!this.counts.every((count, writer) => count >= (before[writer] ?? 0) + more)) {
      if (performance.now() > deadlineMs) throw new Error(`not every client was served within ${timeoutMs} ms`);
      await sleep(5);
    }
    return performance.now();
  }

  private async write(writer: number): Promise<void> {
    for (let sequence = 0; !this.isStopping; sequence++) {
      const id = `writer-${writer}-${sequence}`;
      const startedMs = performance.now();
      await this.writeUntilAcknowledged(this.clients[writer % this.clients.length] ?? this.clients[0], id);
      this.ledger.record([id]);
      this.longest = Math.max(this.longest, performance.now() - startedMs);
      this.counts[writer] = sequence + 1;
      this.total++;
    }
  }

  /** Repeating is harmless: nobody else writes this id, and it always has the same content. */
  private async writeUntilAcknowledged(client: VectronClient, id: string): Promise<void> {
    const point = this.ledger.pointOf(id);
    for (;;) {
      try {
        await client.upsert(this.collection, [point], { timeoutMs: attemptTimeoutMs });
        return;
      } catch (error) {
        const code = error instanceof VectronClientError ? error.code : null;
        if (code === null || code === 'INVALID_ARGUMENT' || code === 'UNAUTHENTICATED') throw error;
        await sleep(retryPauseMs);
      }
    }
  }
}
