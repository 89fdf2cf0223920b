import { clientError, VectronClientError } from './errors';

export interface RetryPolicy {
  /** The first included. */
  readonly attempts: number;
  readonly firstMs: number;
  readonly delayMsMax: number;
  readonly factor: number;
  /** Each delay varies by this share of it, up and down. */
  readonly jitter: number;
  /** Also send a write again whose outcome is unknown: under the same idempotency key, so that it has one effect. */
  readonly retryWritesOnTimeout: boolean;
}

export const retryDefaults: RetryPolicy = {
  attempts: 3,
  firstMs: 100,
  delayMsMax: 2_000,
  factor: 2,
  jitter: 0.2,
  retryWritesOnTimeout: true,
};

/** What retrying needs of the world. */
export interface RetryEnvironment {
  /** In [0, 1). */
  random(): number;
  sleep(delayMs: number): Promise<void>;
  /** Milliseconds since 1970. */
  wall(): number;
}

/** Whether the same request may succeed if sent again, and may be. */
export function mayRetry(error: VectronClientError, isWrite: boolean, policy: RetryPolicy): boolean {
  if (error.code === 'DEADLINE_EXCEEDED') return !isWrite || policy.retryWritesOnTimeout;
  // The transport says RESOURCE_EXHAUSTED of a message that is too large: that one will not get smaller.
  if (error.code === 'RESOURCE_EXHAUSTED') return error.fromServer && error.field === undefined;
  return error.code === 'UNAVAILABLE';
}

/** Delay after the `failures`-th failure (from 1), at least what the server asked for. */
export function delayMs(
  policy: RetryPolicy,
  failures: number,
  error: VectronClientError,
  random: () => number,
): number {
  const steady = Math.min(policy.firstMs * policy.factor ** (failures - 1), policy.delayMsMax);
  const jittered = steady * (1 + policy.jitter * (2 * random() - 1));
  return Math.max(jittered, error.retryAfterMs ?? 0);
}

/** Runs `attempt` until it succeeds, fails for good, or the attempts are used up: then its last error is thrown. */
export async function withRetries<T>(
  policy: RetryPolicy,
  environment: RetryEnvironment,
  isWrite: boolean,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (thrown) {
      const error = asClientError(thrown);
      if (failures >= policy.attempts || !mayRetry(error, isWrite, policy)) throw error;
      await environment.sleep(delayMs(policy, failures, error, environment.random));
    }
  }
}

const asClientError = (thrown: unknown): VectronClientError =>
  thrown instanceof VectronClientError ? thrown : clientError('INTERNAL', String(thrown), { cause: thrown });
