/** A violated promise: the run is red and its seed goes into the corpus. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export function must(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(message());
}
