import { utf8 } from '../../base/bytes';
import { invalid } from '../../base/errors';
import { idempotencyKeyBytesMax, idempotencyWindowMsMax, readTokensMax } from '../../base/limits';
import { type Condition, plainWrite, type WriteOptions } from '../../protocol/commands';
import { type CommitToken, parseToken } from '../../protocol/commit-token';
import type { ReadLevel } from '../../protocol/data-messages';
import type { ReadDial } from '../calls';
import { batch, readLevel, wholeNumber } from './fields';

/** Checks of how writes are protected and how fresh reads must be, the same for gRPC and HTTP. */
export interface WriteFields {
  readonly key: unknown;
  readonly issuedMs: unknown;
  /** 0 and absent: the longest. */
  readonly windowMs: unknown;
}

const stalenessMsMax = 86_400_000;
const keyPattern = /^[\x21-\x7e]+$/;

const isGiven = (value: unknown): boolean => value !== undefined && value !== null && value !== '' && value !== 0;

/** A key without the time it was drawn could not be told from a new one once its window has passed, so both are needed. */
export function writeOptions(fields: WriteFields, conditions: readonly Condition[], previous: boolean): WriteOptions {
  const options = {
    conditions: conditions.every(({ kind }) => kind === 'none') ? [] : conditions,
    returnPrevious: previous,
  };
  if (!isGiven(fields.key)) {
    if (isGiven(fields.issuedMs)) throw invalid('issued_ms', 'is given without idempotency_key');
    if (isGiven(fields.windowMs)) throw invalid('idempotency_window_ms', 'is given without idempotency_key');
    return { ...plainWrite, ...options };
  }
  const key = idempotencyKey(fields.key);
  if (!isGiven(fields.issuedMs)) throw invalid('issued_ms', 'must say when idempotency_key was drawn');
  const issuedMs = wholeNumber(fields.issuedMs, 'issued_ms', 1, Number.MAX_SAFE_INTEGER);
  const asked = isGiven(fields.windowMs) ? fields.windowMs : idempotencyWindowMsMax;
  const windowMs = wholeNumber(asked, 'idempotency_window_ms', 1, idempotencyWindowMsMax);
  return { key, issuedMs, windowMs, ...options };
}

function idempotencyKey(value: unknown): string {
  if (typeof value === 'string' && keyPattern.test(value) && utf8(value).length <= idempotencyKeyBytesMax) return value;
  throw invalid('idempotency_key', `must be 1 to ${idempotencyKeyBytesMax} printable ASCII characters without spaces`);
}

/** `ifVersion` 0: the point must not exist. `onlyIf`: absent or present. At most one of them. */
export function condition(ifVersion: unknown, onlyIf: unknown, at: string): Condition {
  const hasVersion = ifVersion !== undefined && ifVersion !== null;
  if (onlyIf === undefined || onlyIf === null || onlyIf === '') {
    if (!hasVersion) return { kind: 'none' };
    const version = wholeNumber(ifVersion, `${at}if_version`, 0, Number.MAX_SAFE_INTEGER);
    return version === 0 ? { kind: 'absent' } : { kind: 'version', version };
  }
  if (hasVersion) throw invalid(`${at}only_if`, 'is given beside if_version; give one of them');
  if (onlyIf !== 'absent' && onlyIf !== 'present') throw invalid(`${at}only_if`, 'must be absent or present');
  return { kind: onlyIf };
}

/** Empty, or one for each id; 0: none. */
export function versionsOf(value: unknown, count: number): readonly Condition[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid('if_versions', 'must be a list of versions');
  if (value.length === 0) return [];
  if (value.length !== count) throw invalid('if_versions', `has ${value.length} elements for ${count} ids`);
  return batch(value, 'if_versions').map((item, i) => {
    const version = wholeNumber(item, `if_versions[${i}]`, 0, Number.MAX_SAFE_INTEGER);
    return version === 0 ? { kind: 'none' } : { kind: 'version', version };
  });
}

export interface DialFields {
  readonly level: unknown;
  readonly tokens: unknown;
  readonly stalenessMs: unknown;
}

/** Tokens without a level mean `session`; a staleness means `bounded`, and only that. */
export function readDial(fields: DialFields, byDefault: ReadLevel): ReadDial {
  const tokens = commitTokens(fields.tokens);
  const isBounded = isGiven(fields.stalenessMs);
  const level = readLevel(fields.level, isBounded ? 'bounded' : tokens.length > 0 ? 'session' : byDefault);
  if (level !== 'bounded' && isBounded) throw invalid('max_staleness_ms', `is not for the level ${level}`);
  if (level === 'bounded' && !isBounded) throw invalid('max_staleness_ms', 'is needed for the level bounded');
  const stalenessMs = isBounded ? wholeNumber(fields.stalenessMs, 'max_staleness_ms', 1, stalenessMsMax) : 0;
  return { level, tokens, stalenessMs };
}

function commitTokens(value: unknown): readonly CommitToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid('tokens', 'must be a list of commit tokens');
  if (value.length > readTokensMax)
    throw invalid('tokens', `has ${value.length} elements, the limit is ${readTokensMax}`);
  return value.map((item: unknown, i) => {
    const token = typeof item === 'string' ? parseToken(item) : null;
    if (token === null) throw invalid(`tokens[${i}]`, 'is not a commit token');
    return token;
  });
}
