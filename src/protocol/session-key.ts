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
