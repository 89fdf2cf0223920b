import type { Term } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import { type Address, addressText } from '../protocol/envelope';

/** How long a member that left a request unanswered is passed over, unless it is heard from. */
const suspicionMs = 1_000;

interface Belief {
  readonly leader: Address;
  readonly term: number;
  /** When it last answered what only a leader can; null: never since it is believed in. */
  readonly answeredAt: MonotonicMs | null;
}

/**
 * Who is believed to lead each group of replicas, and who seems to be dead. Beliefs only decide whom to ask first; a
 * wrong one costs a round trip.
 *
 *  1. A hint of an older term does not displace one of a newer term.
 *  2. Who is suspected is not believed to lead until it is heard from, or a newer term names it, or the suspicion ends.
 */
export class Leaders {
  private readonly beliefs = new Map<string, Belief>();
  private readonly suspectedUntil = new Map<string, MonotonicMs>();

  of(group: string, now: MonotonicMs): Address | null {
    const leader = this.beliefs.get(group)?.leader;
    return leader === undefined || this.isSuspected(leader, now) ? null : leader;
  }

  /** A report with a term, which may be newer than what a suspicion rests on. */
  report(group: string, leader: Address, term: Term): void {
    const held = this.beliefs.get(group);
    if (held !== undefined && term < held.term) return;
    if (held === undefined || term > held.term) this.suspectedUntil.delete(addressText(leader));
    this.beliefs.set(group, { leader, term, answeredAt: this.answeredAt(group, leader) });
  }

  /** A member that does not lead says who does. */
  hint(group: string, leader: Address): void {
    const term = this.beliefs.get(group)?.term ?? 0;
    this.beliefs.set(group, { leader, term, answeredAt: this.answeredAt(group, leader) });
  }

  /** It did what only a leader can. */
  answered(group: string, leader: Address, now: MonotonicMs): void {
    this.beliefs.set(group, { leader, term: this.beliefs.get(group)?.term ?? 0, answeredAt: now });
  }

  answeredAt(group: string, member: Address): MonotonicMs | null {
    const held = this.beliefs.get(group);
    return held !== undefined && addressText(held.leader) === addressText(member) ? held.answeredAt : null;
  }

  /** A member says that it does not lead. */
  deny(group: string, member: Address): void {
    const held = this.beliefs.get(group);
    if (held !== undefined && addressText(held.leader) === addressText(member)) this.beliefs.delete(group);
  }

  /** It answered. */
  heard(member: Address): void {
    this.suspectedUntil.delete(addressText(member));
  }

  suspect(member: Address, now: MonotonicMs): void {
    this.suspectedUntil.set(addressText(member), (now + suspicionMs) as MonotonicMs);
  }

  isSuspected(member: Address, now: MonotonicMs): boolean {
    const until = this.suspectedUntil.get(addressText(member));
    if (until === undefined) return false;
    if (until > now) return true;
    this.suspectedUntil.delete(addressText(member));
    return false;
  }

  /** Groups that are gone must not be remembered for ever. */
  forget(group: string): void {
    this.beliefs.delete(group);
  }
}
