import { bytesOfFloats } from '../../src/base/bytes';
import { Prng } from '../../src/base/prng';
import type { ReadDial } from '../../src/gateway/calls';
import type { CommitToken } from '../../src/protocol/commit-token';
import { ByFilterRounds } from './by-filter-rounds';
import type { SimCluster } from './cluster';
import { logUniform } from './log-uniform';
import { MortalRounds } from './mortal-rounds';
import type { SimOptions } from './options';
import { Oracle } from './oracle';
import { Races } from './races';
import { callTimeoutMs, collection, latest, SimClient, shownOf, vectorOf } from './sim-client';
import { Violation } from './violation';

/** A clock is read at the beginning of a handler, which virtual time leaves a little behind. Rates are allowed for apart. */
const readLatenessMs = 1;
const recentMax = 12;
/** Makes a client add points of its own and nothing else. */
const helperDraw = 0.3;

/**
 * Clients that write, delete, read and search, one call at a time, and tell the oracle. Keys of a client's own are written
 * by it alone; counters and slots by all at once (see races).
 */
export class Workload {
  readonly oracle: Oracle;
  readonly races: Races;
  readonly counts = { calls: 0, failed: 0, reads: 0, searches: 0 };
  private readonly random: Prng;
  private readonly client: SimClient;
  readonly byFilter: ByFilterRounds;
  readonly mortal: MortalRounds;
  private readonly tokens = new Map<number, readonly CommitToken[]>();
  /** Keys that were just written: where a stale read would show. */
  private readonly recent: string[] = [];
  private serial = 0;
  private active = true;
  private open = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly options: SimOptions,
  ) {
    this.random = cluster.world.random.fork();
    this.oracle = new Oracle(() => cluster.world.now);
    this.byFilter = new ByFilterRounds(cluster, new Prng(options.seed ^ 0xf117e2));
    const { clocks, wallJumpEveryMs } = options.time;
    const isExact = clocks === 'exact' && wallJumpEveryMs === 0;
    this.mortal = new MortalRounds(cluster, new Prng(options.seed ^ 0x3a07a1), isExact);
    this.client = new SimClient(cluster, this.oracle, this.random);
    this.races = new Races(this.client, this.oracle, this.random, () => ++this.serial);
  }

  get idle(): boolean {
    return this.open === 0 && this.client.idle && this.byFilter.idle && this.mortal.idle;
  }

  start(): void {
    this.byFilter.start();
    this.mortal.start();
    for (let client = 0; client < this.options.clients; client++) this.next(client);
  }

  /** More of them, which write keys that nobody else writes: for a run that was too slow to tell enough. */
  reinforce(count: number): void {
    const { clients } = this.options;
    for (let client = clients; client < clients + count; client++) this.next(client);
  }

  stop(): void {
    this.byFilter.stop();
    this.mortal.stop();
    this.active = false;
  }

  private next(client: number): void {
    this.cluster.world.schedule(this.random.between(1, 200), 'client', null, () => {
      if (!this.active) return;
      const isHelper = client >= this.options.clients;
      const draw = isHelper ? helperDraw : this.random.float();
      const done = this.begin(client);
      if (draw < 0.25) this.upsert(client, this.ownKeys(client), done);
      else if (draw < 0.4) this.upsert(client, [`once-${client}-${this.serial + 1}`], done);
      else if (draw < 0.5) this.remove(client, done);
      else if (draw < 0.6) this.races.increment(done);
      else if (draw < 0.66) this.races.take(done);
      else if (draw < 0.7) this.races.free(done);
      else if (draw < 0.78) this.read(done);
      else if (draw < 0.86) this.readSession(client, done);
      else if (draw < 0.95) this.readBounded(done);
      else this.search(done);
    });
  }

  private begin(client: number): () => void {
    this.counts.calls++;
    this.open++;
    return () => {
      this.open--;
      this.next(client);
    };
  }

  private ownKeys(client: number): string[] {
    const { keys, clients } = this.options;
    const own = Array.from({ length: keys }, (_, i) => i).filter((key) => key % clients === client);
    const wanted = Math.min(own.length, this.random.chance(0.3) ? this.random.between(2, 4) : 1);
    const chosen = new Set<number>();
    while (chosen.size < wanted) chosen.add(this.random.pick(own));
    return [...chosen].map((key) => `key-${key}`);
  }

  private upsert(client: number, keys: readonly string[], done: () => void): void {
    const items = keys.map((key) => ({ key, serial: ++this.serial }));
    this.client.write({ deletes: false, items }, (fate, answer) => {
      if (fate === 'acknowledged') {
        this.tokens.set(client, [...(answer?.commit ?? []), ...this.tokensOf(client)]);
        this.recent.unshift(...keys);
        this.recent.length = Math.min(this.recent.length, recentMax);
      } else this.counts.failed++;
      done();
    });
  }

  /** The newest are enough: an older token of the same shard says less. */
  private tokensOf(client: number): readonly CommitToken[] {
    return (this.tokens.get(client) ?? []).slice(0, 16);
  }

  private remove(client: number, done: () => void): void {
    const items = [{ key: this.ownKeys(client)[0] as string, serial: ++this.serial }];
    this.client.write({ deletes: true, items }, (fate) => {
      if (fate !== 'acknowledged') this.counts.failed++;
      done();
    });
  }

  private anyKey(): string {
    return `key-${this.random.between(0, this.options.keys - 1)}`;
  }

  private recentKey(): string {
    return this.recent.length > 0 && this.random.chance(0.8) ? this.random.pick(this.recent) : this.anyKey();
  }

  private read(done: () => void): void {
    const key = this.anyKey();
    const floor = this.oracle.floorOf(key);
    this.client.get(
      key,
      latest,
      (shown) => {
        this.counts.reads++;
        this.oracle.readLatest(key, shown, floor, 'read');
        done();
      },
      done,
    );
  }

  /** Whatever replica answers, a token's write is there and so is all of its shard before it. */
  private readSession(client: number, done: () => void): void {
    const key = this.recentKey();
    const tokens = this.tokensOf(client);
    this.readAt(key, { level: 'session', tokens, stalenessMs: 0 }, tokenFloor(this.oracle, key, tokens), done);
  }

  private readBounded(done: () => void): void {
    const key = this.recentKey();
    const stalenessMs = Math.ceil(logUniform(this.random, 1, 3_000));
    const { now, clockSpread } = this.cluster.world;
    const floor = this.oracle.floorOf(key, now - stalenessMs * clockSpread - readLatenessMs);
    this.readAt(key, { level: 'bounded', tokens: [], stalenessMs }, () => floor, done);
  }

  private readAt(key: string, dial: ReadDial, floorAt: (shard: number) => number, done: () => void): void {
    this.cluster.call({ kind: 'get', collection, ids: [key], ...dial }, callTimeoutMs, (outcome) => {
      if (outcome.ok) {
        this.counts.reads++;
        const { points, served } = outcome.answer;
        const [at] = served;
        if (at === undefined || at.level !== dial.level) throw new Violation(`a read achieved ${at?.level}`);
        this.oracle.read(key, shownOf(points[0]), floorAt(at.shard), dial.level);
      }
      done();
    });
  }

  private search(done: () => void): void {
    const vector = bytesOfFloats(vectorOf(this.random.between(1, 1_000)));
    const shape = {
      k: 5,
      ef: 0,
      exact: false,
      includeVector: false,
      includePayload: false,
      allowPartial: false,
      filter: null,
      minScore: null,
      oversampling: 1,
      rerank: 0,
      quantised: this.random.chance(0.2) ? false : null,
      waitIndexedMs: this.random.chance(0.2) ? this.random.between(1, 300) : 0,
    };
    const dial = { level: 'leader', tokens: [], stalenessMs: 0 } as const;
    this.cluster.call({ kind: 'search', collection, vector, ...shape, ...dial }, callTimeoutMs, (outcome) => {
      done();
      if (!outcome.ok) return;
      this.counts.searches++;
      const scores = outcome.answer.hits.map((hit) => hit.score);
      if (scores.some((score, i) => i > 0 && score > (scores[i - 1] as number)))
        throw new Violation('hits out of order');
    });
  }
}

/** The newest version known of a key when the read began that a token of its shard reaches. */
function tokenFloor(oracle: Oracle, key: string, tokens: readonly CommitToken[]): (shard: number) => number {
  const known = oracle.knownOf(key);
  return (shard) => {
    const reached = Math.max(0, ...tokens.filter((token) => token.shard === shard).map(({ index }) => index));
    return Math.max(0, ...known.filter((version) => version <= reached));
  };
}
