/** The method as it is, bound to its object. */
export type Original = (...args: readonly unknown[]) => unknown;

/** One method of a class, replaced for the length of a run. */
export interface Patch {
  readonly target: object;
  readonly method: string;
  readonly body: (self: unknown, original: Original, args: readonly unknown[]) => unknown;
}

/** A bug as somebody might make it, to prove that the simulator would find it. Production code knows nothing of it. */
export interface Mutation {
  readonly name: string;
  /** What is wrong with it. */
  readonly what: string;
  readonly patches: readonly Patch[];
}

/** `Self` and `Args` are what the method has, which TypeScript cannot know of private ones. */
export function patch<Self, Args extends readonly unknown[]>(
  target: object,
  method: string,
  body: (self: Self, original: Original, args: Args) => unknown,
): Patch {
  if (typeof Reflect.get(target, method) !== 'function') throw new Error(`no method ${method} to break`);
  return { target, method, body: (self, original, args) => body(self as Self, original, args as Args) };
}

/** Runs with the bug in place, and takes it out again whatever happens. */
export function withMutation<T>(mutation: Mutation | null, run: () => T): T {
  const undo = (mutation?.patches ?? []).map(({ target, method, body }) => {
    const original = Reflect.get(target, method) as (...args: readonly unknown[]) => unknown;
    Reflect.set(target, method, function (this: unknown, ...args: readonly unknown[]) {
      return body(this, (...others) => Reflect.apply(original, this, others), args);
    });
    return () => Reflect.set(target, method, original);
  });
  try {
    return run();
  } finally {
    for (const back of undo) back();
  }
}
