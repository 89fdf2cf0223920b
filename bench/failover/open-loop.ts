import { setTimeout as sleep } from 'node:timers/promises';
import { type VectronClient, VectronClientError } from '../../src/client/node';

interface Write {
  /** When it was due, whether or not anything answered then: a client that waits would hide the pause from itself. */
  readonly dueMs: number;
  ackedMs: number | null;
}

const readBatch = 250;
const stepMs = 2;

/** Writes one new point every 1/rate seconds, whatever became of those before it. */
export class OpenLoop {
  private readonly writes: Write[] = [];
  private readonly open = new Set<Promise<void>>();
  private running: Promise<void> | null = null;
  private ended = false;
  private failure: unknown = null;
  /** What the failed ones were told, and how often. */
  readonly failures = new Map<string, number>();

  constructor(
    private readonly client: VectronClient,
    private readonly collection: string,
    private readonly ratePerSecond: number,
  ) {}

  get ackedCount(): number {
    return this.latenciesMs.length;
  }
  /** Of acknowledged writes, from when they were due. */
  get latenciesMs(): number[] {
    return this.writes.flatMap(({ dueMs, ackedMs }) => (ackedMs === null ? [] : [ackedMs - dueMs]));
  }

  start(): void {
    this.running = this.run();
  }

  /** Resolves when every write has ended. */
  async stop(): Promise<void> {
    this.ended = true;
    await this.running;
    await Promise.all(this.open);
    if (this.failure !== null) throw this.failure;
  }

  /** When the first write that was due at `sinceMs` or later was acknowledged. */
  async acknowledgedSince(sinceMs: number, timeoutMs: number): Promise<number> {
    const from = Math.max(
      0,
      this.writes.findIndex(({ dueMs }) => dueMs >= sinceMs),
    );
    for (;;) {
      if (this.failure !== null) throw this.failure;
      const acks = this.writes
        .slice(from)
        .flatMap(({ dueMs, ackedMs }) => (dueMs < sinceMs || ackedMs === null ? [] : [ackedMs]));
      if (acks.length > 0) return Math.min(...acks);
      if (performance.now() > sinceMs + timeoutMs) throw new Error(`no write was acknowledged within ${timeoutMs} ms`);
      await sleep(stepMs);
    }
  }

  /** How many acknowledged writes are not there. */
  async lostCount(): Promise<number> {
    const acked = this.writes.flatMap(({ ackedMs }, at) => (ackedMs === null ? [] : [at]));
    let lost = 0;
    for (let from = 0; from < acked.length; from += readBatch) {
      const part = acked.slice(from, from + readBatch);
      const points = await this.client.getMany(this.collection, part.map(idOf), { consistency: 'linearizable' });
      const found = new Map(points.map(({ id, vector }) => [id, vector[0]]));
      lost += part.filter((at) => found.get(idOf(at)) !== at).length;
    }
    return lost;
  }

  private async run(): Promise<void> {
    const startedMs = performance.now();
    const due = (): number => startedMs + (this.writes.length * 1_000) / this.ratePerSecond;
    while (!this.ended) {
      for (let dueMs = due(); dueMs <= performance.now(); dueMs = due()) this.open.add(this.send(dueMs));
      await sleep(stepMs);
    }
  }

  private async send(dueMs: number): Promise<void> {
    const write: Write = { dueMs, ackedMs: null };
    const at = this.writes.push(write) - 1;
    try {
      await this.client.upsert(this.collection, [{ id: idOf(at), vector: [at, 1] }]);
      write.ackedMs = performance.now();
    } catch (error) {
      if (error instanceof VectronClientError)
        this.failures.set(error.message, (this.failures.get(error.message) ?? 0) + 1);
      else this.failure = error;
    }
  }
}

const idOf = (at: number): string => `write-${at}`;
