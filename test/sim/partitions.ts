import type { NodeName } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import type { SimNetwork } from './network';

const kinds = [
  'isolate',
  'isolateLeader',
  'halves',
  'ring',
  'bridge',
  'pair',
  'oneWayOut',
  'oneWayIn',
  'flap',
] as const;
export type PartitionKind = (typeof kinds)[number];

const flapMsMin = 100;
const flapMsMax = 1_500;

/** Cuts links until they are healed. Several may be in force at once; they heal together. */
export class Partitions {
  count = 0;
  /** Grows with every heal: a node that flaps stops then. */
  private era = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
  ) {}

  begin(): void {
    const names = this.cluster.allNodeNames();
    const wanted = this.random.pick(kinds);
    const leader = this.cluster.someLeader(this.random);
    const kind = wanted === 'isolateLeader' && leader === null ? 'isolate' : wanted;
    const victim = kind === 'isolateLeader' && leader !== null ? leader : this.random.pick(names);
    this.count++;
    this.cluster.world.tally.add(kind);
    this.cluster.world.note(`PARTITION ${kind} ${victim}`);
    this.cut(kind, victim, names);
  }

  cutBetween(a: NodeName, b: NodeName): void {
    this.cutAll(a, [b]);
  }

  heal(): void {
    this.era++;
    this.network.heal();
  }

  private get network(): SimNetwork {
    return this.cluster.world.network;
  }

  private cut(kind: PartitionKind, victim: NodeName, names: readonly NodeName[]): void {
    const others = names.filter((name) => name !== victim);
    if (kind === 'flap') this.flap(victim, others, this.era);
    if (kind === 'isolate' || kind === 'isolateLeader') this.cutAll(victim, others);
    if (kind === 'oneWayOut') for (const other of others) this.network.cut(victim, other);
    if (kind === 'oneWayIn') for (const other of others) this.network.cut(other, victim);
    if (kind === 'pair') this.cutAll(victim, [this.random.pick(others)]);
    if (kind === 'ring') this.ring(names);
    if (kind === 'halves' || kind === 'bridge') this.divide(names, kind === 'bridge' ? victim : null);
  }

  private cutAll(victim: NodeName, others: readonly NodeName[]): void {
    for (const other of others) {
      this.network.cut(victim, other);
      this.network.cut(other, victim);
    }
  }

  private divide(names: readonly NodeName[], spared: NodeName | null): void {
    const group = new Set(names.filter(() => this.random.chance(0.5)));
    for (const a of names) {
      for (const b of names) {
        if (a !== spared && b !== spared && group.has(a) !== group.has(b)) this.network.cut(a, b);
      }
    }
  }

  private ring(names: readonly NodeName[]): void {
    const order = [...names].sort(() => (this.random.chance(0.5) ? 1 : -1));
    for (const [at, a] of order.entries()) {
      for (const [place, b] of order.entries()) {
        const apart = Math.abs(at - place);
        if (apart > 1 && apart < order.length - 1) this.network.cut(a, b);
      }
    }
  }

  /** On for a while, off for a while: the links of others that are cut come back with it. */
  private flap(victim: NodeName, others: readonly NodeName[], era: number): void {
    if (era !== this.era) return;
    this.cutAll(victim, others);
    this.later(() => {
      if (era !== this.era) return;
      this.network.heal();
      this.later(() => this.flap(victim, others, era));
    });
  }

  private later(run: () => void): void {
    this.cluster.world.schedule(this.random.between(flapMsMin, flapMsMax), 'flap', null, run);
  }
}
