import { type ErrorCode, errorCatalogue } from '../base/errors';
import type { ErrorDetail } from '../protocol/generated/vectron/v1/vectron';
import { decodePositions } from '../protocol/public-api';

export interface ClientErrorDetails {
  /** The request's field at fault: `points[3].vector`. */
  readonly field?: string;
  readonly retryAfterMs?: number;
  /** Of a point whose condition did not hold; 0: it does not exist. */
  readonly currentVersion?: number;
  /** Of a failed write: how many points were acknowledged all the same. */
  readonly acknowledged?: number;
  /** Of a failed write: positions in the request of those that were not. */
  readonly failed?: readonly number[];
  /** Of a failed write: commit tokens of what was written all the same. */
  readonly commit?: readonly string[];
  /** The server said so, rather than the transport. */
  readonly fromServer?: boolean;
  readonly cause?: unknown;
}

/** The base of everything the client throws. `code` is stable; messages are for people. */
export class VectronClientError extends Error {
  override readonly name: string = 'VectronClientError';
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly currentVersion: number | undefined;
  readonly acknowledged: number;
  readonly failed: readonly number[];
  /** A read that presents these sees the points of the call that were written; see WriteResult.commit. */
  readonly commit: readonly string[];
  readonly fromServer: boolean;

  constructor(
    readonly code: ErrorCode,
    message: string,
    details: ClientErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.field = details.field;
    this.retryAfterMs = details.retryAfterMs;
    this.currentVersion = details.currentVersion;
    this.acknowledged = details.acknowledged ?? 0;
    this.failed = details.failed ?? [];
    this.commit = details.commit ?? [];
    this.fromServer = details.fromServer ?? false;
  }
}

export class NotFoundError extends VectronClientError {
  override readonly name = 'NotFoundError';
}
export class InvalidArgumentError extends VectronClientError {
  override readonly name: string = 'InvalidArgumentError';
}
export class AlreadyExistsError extends VectronClientError {
  override readonly name = 'AlreadyExistsError';
}
/** No API key, one that is not known, or one that may not do this. */
export class AuthenticationError extends VectronClientError {
  override readonly name = 'AuthenticationError';
}
export class ResourceExhaustedError extends VectronClientError {
  override readonly name = 'ResourceExhaustedError';
}
/** A point's condition did not hold (`field` and `currentVersion` say which), or the system's state forbids the call. */
export class PreconditionError extends InvalidArgumentError {
  override readonly name = 'PreconditionError';
}
/** A write came after its key's window: it had no effect this time, and may have had before. */
export class IdempotencyExpiredError extends VectronClientError {
  override readonly name = 'IdempotencyExpiredError';
}
/** The outcome is unknown: what was asked may have been done, or may still be. */
export class DeadlineExceededError extends VectronClientError {
  override readonly name = 'DeadlineExceededError';
}
export class UnavailableError extends VectronClientError {
  override readonly name = 'UnavailableError';
}
export class UnimplementedError extends VectronClientError {
  override readonly name = 'UnimplementedError';
}
/** A fault of the server's own. */
export class InternalServerError extends VectronClientError {
  override readonly name = 'InternalServerError';
}

type ErrorClass = new (code: ErrorCode, message: string, details?: ClientErrorDetails) => VectronClientError;

const classes: Readonly<Partial<Record<ErrorCode, ErrorClass>>> = {
  NOT_FOUND: NotFoundError,
  INVALID_ARGUMENT: InvalidArgumentError,
  FAILED_PRECONDITION: PreconditionError,
  IDEMPOTENCY_EXPIRED: IdempotencyExpiredError,
  ALREADY_EXISTS: AlreadyExistsError,
  UNAUTHENTICATED: AuthenticationError,
  PERMISSION_DENIED: AuthenticationError,
  RESOURCE_EXHAUSTED: ResourceExhaustedError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  UNAVAILABLE: UnavailableError,
  NOT_LEADER: UnavailableError,
  STALE_SHARD: UnavailableError,
  OUTCOME_UNKNOWN: UnavailableError,
  POISONED: UnavailableError,
  UNIMPLEMENTED: UnimplementedError,
  CANCELLED: VectronClientError,
};

export function clientError(code: ErrorCode, message: string, details: ClientErrorDetails = {}): VectronClientError {
  const Class = classes[code] ?? InternalServerError;
  return new Class(code, message, details);
}

/** What a server says of a failure; `otherwise`: the code of one that this client does not know. */
export function errorOfDetail(detail: ErrorDetail, otherwise: ErrorCode, cause?: unknown): VectronClientError {
  const code = detail.code in errorCatalogue ? (detail.code as ErrorCode) : otherwise;
  return clientError(code, detail.message, {
    ...(detail.field === '' ? {} : { field: detail.field }),
    ...(detail.retryAfterMs === 0 ? {} : { retryAfterMs: detail.retryAfterMs }),
    ...(detail.currentVersion === undefined ? {} : { currentVersion: detail.currentVersion }),
    acknowledged: detail.acknowledged,
    failed: decodePositions(detail.failed),
    commit: detail.commit,
    fromServer: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The catalogue's name of a gRPC status, when the server gave none itself. Internal codes share statuses: the first wins. */
export function codeOfGrpc(status: number): ErrorCode {
  const codes = Object.keys(errorCatalogue) as ErrorCode[];
  return codes.find((code) => errorCatalogue[code].grpc === status) ?? 'INTERNAL';
}
