/**
 * An idempotency key that says besides which earlier ones are done with: `~session/number/settled`, both numbers in base
 * 36. A session numbers its writes from 1 upwards. `settled` is the lowest number that it may still send again, at most
 * the key's own: what a point remembers of lower ones it may forget (Ongaro's thesis, section 6.3, does the same for a
 * whole state machine).
 */
export interface SessionKey {
  readonly session: string;
  readonly number: number;
  readonly settled: number;
}

const pattern = /^~(.+)\/([0-9a-z]{1,10})\/([0-9a-z]{1,10})$/;
const radix = 36;

export const sessionKeyText = ({ session, number, settled }: SessionKey): string =>
  `~${session}/${number.toString(radix)}/${settled.toString(radix)}`;

/** Null: a key like any other. */
export function parseSessionKey(key: string): SessionKey | null {
  const [, session, number, settled] = pattern.exec(key) ?? [];
  if (session === undefined || number === undefined || settled === undefined) return null;
  const parsed = { session, number: Number.parseInt(number, radix), settled: Number.parseInt(settled, radix) };
  return parsed.settled >= 1 && parsed.settled <= parsed.number ? parsed : null;
}

/** A key that was drawn, until its write has ended. */
export interface DrawnKey {
  readonly number: number;
  readonly key: string;
}

/** Draws the keys of one session. `session` must be a name that nobody else has, nor had in an earlier life. */
export class KeySession {
  private last = 0;
  private readonly open = new Set<number>();

  constructor(private readonly session: string) {}

  /** finished() must follow, when no attempt at the write will be sent any more. */
  next(): DrawnKey {
    const number = ++this.last;
    this.open.add(number);
    // In the order they were drawn, so the first is the lowest.
    const [settled = number] = this.open;
    return { number, key: sessionKeyText({ session: this.session, number, settled }) };
  }

  finished({ number }: DrawnKey): void {
    this.open.delete(number);
  }
}
