/**
 * The catalogue of errors. A code is stable: clients branch on it. `grpc` is the status number of the gRPC
 * specification; `http` the status of the JSON twin; `retry` says what a caller may do:
 *   never  - the same request fails again;
 *   safe   - nothing was applied, send it again (after `retryAfterMs` when given);
 *   unsure - the outcome is unknown, it may have been applied or may still be.
 */
export const errorCatalogue = {
  INVALID_ARGUMENT: { grpc: 3, http: 400, retry: 'never' },
  NOT_FOUND: { grpc: 5, http: 404, retry: 'never' },
  ALREADY_EXISTS: { grpc: 6, http: 409, retry: 'never' },
  UNAUTHENTICATED: { grpc: 16, http: 401, retry: 'never' },
  PERMISSION_DENIED: { grpc: 7, http: 403, retry: 'never' },
  RESOURCE_EXHAUSTED: { grpc: 8, http: 429, retry: 'safe' },
  FAILED_PRECONDITION: { grpc: 9, http: 412, retry: 'never' },
  /** A write repeated after its key's window: this time nothing was done; what became of it before is not known any more. */
  IDEMPOTENCY_EXPIRED: { grpc: 9, http: 409, retry: 'never' },
  DEADLINE_EXCEEDED: { grpc: 4, http: 504, retry: 'unsure' },
  UNAVAILABLE: { grpc: 14, http: 503, retry: 'safe' },
  UNIMPLEMENTED: { grpc: 12, http: 501, retry: 'never' },
  INTERNAL: { grpc: 13, http: 500, retry: 'unsure' },
  CANCELLED: { grpc: 1, http: 499, retry: 'unsure' },
  /** Internal: this replica does not lead; details may name who does. */
  NOT_LEADER: { grpc: 14, http: 503, retry: 'safe' },
  /** Internal: the request's epoch is not the shard's; details carry the fresh route. */
  STALE_SHARD: { grpc: 14, http: 503, retry: 'safe' },
  /** Internal: the proposal was dropped or its leader deposed before it was known to commit. */
  OUTCOME_UNKNOWN: { grpc: 14, http: 503, retry: 'unsure' },
  /** Bytes that are not what was written: checksum, length or format do not hold. */
  CORRUPT: { grpc: 15, http: 500, retry: 'never' },
  /** Internal: what this replica holds is not what it acknowledged; it never serves again, its peers do. */
  REPLICA_DAMAGED: { grpc: 14, http: 503, retry: 'safe' },
  /**
   * Internal: this replica has met a command, a flag or a format of a later version of the program than it runs. It has
   * stopped there, and goes on when its machine runs a version that knows it.
   */
  UNSUPPORTED_VERSION: { grpc: 14, http: 503, retry: 'safe' },
  /** A store whose first failed sync was final: nothing is acknowledged any more (DESIGN D3). */
  POISONED: { grpc: 14, http: 503, retry: 'safe' },
} as const satisfies Record<string, ErrorClass>;

export interface ErrorClass {
  readonly grpc: number;
  readonly http: number;
  readonly retry: 'never' | 'safe' | 'unsure';
}
export type ErrorCode = keyof typeof errorCatalogue;

export interface ErrorDetails {
  /** The request's field that is at fault, as the caller spells it: `points[3].vector`. */
  readonly field?: string;
  readonly retryAfterMs?: number;
  /** Of a point whose condition did not hold; 0: it does not exist. */
  readonly currentVersion?: number;
  readonly cause?: unknown;
}

/** The only error that crosses a boundary. Everything else that is thrown is a bug and becomes INTERNAL at the edge. */
export class VectronError extends Error {
  override readonly name = 'VectronError';
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly currentVersion: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.field = details.field;
    this.retryAfterMs = details.retryAfterMs;
    this.currentVersion = details.currentVersion;
  }

  get retry(): ErrorClass['retry'] {
    return errorCatalogue[this.code].retry;
  }
}

export const invalid = (field: string, message: string): VectronError =>
  new VectronError('INVALID_ARGUMENT', `${field}: ${message}`, { field });

/** Anything thrown, as one of ours. */
export function asVectronError(thrown: unknown): VectronError {
  if (thrown instanceof VectronError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new VectronError('INTERNAL', message, { cause: thrown });
}
