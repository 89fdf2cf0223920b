import type { Prng } from '../../src/base/prng';
import { type ChaosOptions, clientsPerKeyMax, opsPerKeyMax } from './options';

/** How many keys of a group are hot at a time, and how often an operation takes one of them. */
const hotCount = 4;
const hotShare = 0.7;

/**
 * Which key an operation takes. Clients form groups of at most clientsPerKeyMax, each with keys of its own. A few hot keys,
 * on which many operations overlap, wander over all keys as the run goes on; the other operations look back at any key.
 */
export class KeyChoice {
  private readonly groups: number;
  private readonly used: number[];

  constructor(
    private readonly options: Pick<ChaosOptions, 'clients' | 'keys' | 'ops'>,
    private readonly random: Prng,
  ) {
    this.groups = Math.ceil(options.clients / clientsPerKeyMax);
    this.used = Array<number>(options.keys).fill(0);
  }

  /** `begun`: operations before this one. */
  choose(client: number, begun: number): string {
    const { keys, ops } = this.options;
    const group = client % this.groups;
    const own = Math.floor((keys - group + this.groups - 1) / this.groups);
    const hot = Math.floor((begun / ops) * own) + this.random.between(0, Math.min(hotCount, own) - 1);
    const position = this.random.chance(hotShare) ? hot % own : this.random.between(0, own - 1);
    const key = position * this.groups + group;
    this.used[key] = (this.used[key] ?? 0) + 1;
    if ((this.used[key] ?? 0) >= opsPerKeyMax)
      throw new Error(`${nameOf(key)} has ${opsPerKeyMax} operations: more keys are needed`);
    return nameOf(key);
  }

  all(): string[] {
    return this.used.map((_, key) => nameOf(key));
  }
}

const nameOf = (key: number): string => `key-${key}`;
