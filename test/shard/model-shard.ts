import type { Condition, ShardOperation, WriteOptions } from '../../src/protocol/commands';
import { parseSessionKey } from '../../src/protocol/session-key';
import type { Outcome } from '../../src/shard/shard-apply';

interface Remembered {
  readonly index: number;
  readonly failed: boolean;
  readonly violated: boolean;
  readonly affected: number;
}

/** What a shard must do with keys and conditions, in maps that are never cleaned, and without any of its parts. */
export class ModelShard {
  private readonly versions = new Map<string, number>();
  private readonly memory = new Map<string, Remembered>();
  /** By session and id: lower numbers are settled there. */
  private readonly floors = new Map<string, number>();
  readonly ids = ['a', 'b', 'c', 'd'];

  live(): [string, number][] {
    return this.ids.flatMap((id): [string, number][] => {
      const version = this.versions.get(id) ?? 0;
      return version === 0 ? [] : [[id, version]];
    });
  }

  describe(outcome: Outcome | undefined): string {
    if (outcome === undefined) return 'none';
    if (!outcome.ok) return `${outcome.code} at ${outcome.conflict?.position ?? '-'}`;
    return `ok ${outcome.affected} [${outcome.versions.join(',')}]`;
  }

  apply(index: number, timeMs: number, operation: ShardOperation, options: Partial<WriteOptions>): string {
    const { key = '', issuedMs = 0, windowMs = 0, conditions = [] } = options;
    const expiresMs = issuedMs + windowMs;
    if (key !== '' && timeMs > expiresMs) return 'IDEMPOTENCY_EXPIRED at -';
    const ids = operation.kind === 'delete' ? operation.ids : operation.points.map(({ id }) => id);
    const drawn = parseSessionKey(key);
    const floorOf = (id: string): number => this.floors.get(`${drawn?.session}/${id}`) ?? 0;
    if (drawn !== null && ids.some((id) => floorOf(id) > drawn.number)) return 'IDEMPOTENCY_EXPIRED at -';
    const kept = new Map(ids.map((id, i) => [i, key === '' ? undefined : this.memory.get(`${key}/${id}`)]));
    const fresh = ids.map((_, i) => i).filter((i) => kept.get(i) === undefined);
    const bad = new Set(fresh.filter((i) => !this.holds(conditions[i], ids[i] as string)));
    const fails = bad.size > 0 || [...kept.values()].some((one) => one?.failed === true);
    for (const i of fresh) {
      const id = ids[i] as string;
      const isLive = (this.versions.get(id) ?? 0) > 0;
      const affected = !fails && (operation.kind === 'upsert' || isLive) ? 1 : 0;
      if (affected === 1) this.versions.set(id, operation.kind === 'upsert' ? index : 0);
      const one = { index, failed: fails, violated: bad.has(i), affected };
      kept.set(i, one);
      if (key !== '') this.memory.set(`${key}/${id}`, one);
      if (drawn !== null) this.floors.set(`${drawn.session}/${id}`, Math.max(floorOf(id), drawn.settled));
    }
    const all = ids.map((_, i) => kept.get(i) as Remembered);
    const violated = all.findIndex((one) => one.violated);
    if (all.some((one) => one.failed)) return `FAILED_PRECONDITION at ${violated < 0 ? '-' : violated}`;
    const affected = all.reduce((sum, one) => sum + one.affected, 0);
    return `ok ${affected} [${all.map((one) => one.index).join(',')}]`;
  }

  private holds(condition: Condition | undefined, id: string): boolean {
    const version = this.versions.get(id) ?? 0;
    if (condition === undefined || condition.kind === 'none') return true;
    if (condition.kind === 'version') return version === condition.version;
    return condition.kind === 'absent' ? version === 0 : version > 0;
  }
}
