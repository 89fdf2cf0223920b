/** Thrown when an invariant of ours is broken. Never caught to go on: the actor that threw is restarted by supervision. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Assertions stay on in production: a wrong answer costs more than a restarted actor. A message that is put together is
 * given as a function: its text would cost a hundred times the check.
 */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === 'string' ? message : message());
}

/** Closes a switch over a union: adding a member without handling it does not compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}

/** The value, or an assertion: for lookups that must succeed. */
export function present<T>(value: T | undefined | null, what: string | (() => string)): T {
  if (value === undefined || value === null) {
    throw new AssertionError(`missing: ${typeof what === 'string' ? what : what()}`);
  }
  return value;
}
