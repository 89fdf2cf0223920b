import { Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { asVectronError, errorCatalogue, type VectronError } from '../../base/errors';
import { tokenText } from '../../protocol/commit-token';
import { ErrorDetail } from '../../protocol/generated/vectron/v1/vectron';
import { encodePositions, errorMetadata } from '../../protocol/public-api';
import { WriteFailedError } from '../calls';

/** Anything thrown as a gRPC status, its details in trailing metadata. */
export function grpcStatus(thrown: unknown): Partial<StatusObject> & Pick<StatusObject, 'code' | 'details'> {
  const error = asVectronError(thrown);
  const metadata = new Metadata();
  metadata.set(errorMetadata.code, error.code);
  // Header values are ASCII; the detail below has the field as it is.
  if (error.field !== undefined && /^[\x20-\x7e]+$/.test(error.field)) metadata.set(errorMetadata.field, error.field);
  if (error.retryAfterMs !== undefined) metadata.set(errorMetadata.retryAfterMs, String(Math.ceil(error.retryAfterMs)));
  metadata.set(errorMetadata.detail, Buffer.from(ErrorDetail.encode(errorDetail(error)).finish()));
  return { code: errorCatalogue[error.code].grpc, details: error.message.slice(0, 1024), metadata };
}

export function errorDetail(error: VectronError): ErrorDetail {
  const partial = error instanceof WriteFailedError ? error : null;
  return {
    code: error.code,
    message: error.message.slice(0, 1024),
    field: (error.field ?? '').slice(0, 256),
    retryAfterMs: Math.ceil(error.retryAfterMs ?? 0),
    acknowledged: partial?.acknowledged ?? 0,
    failed: encodePositions(partial?.failed ?? []),
    currentVersion: error.currentVersion,
    commit: (partial?.commit ?? []).map(tokenText),
  };
}

export const grpcError = (thrown: unknown): Partial<ServiceError> => grpcStatus(thrown);
