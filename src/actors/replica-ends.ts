import type { ErrorCode } from '../base/errors';
import type { MemberEnd } from './raft-member-options';

/** What requests are told of a replica that serves no more. */
export const endCodes: { readonly [K in MemberEnd]: ErrorCode } = {
  damaged: 'REPLICA_DAMAGED',
  outdated: 'UNSUPPORTED_VERSION',
  failed: 'UNAVAILABLE',
  removed: 'UNAVAILABLE',
};
/** How it ends by what its state or log throws. */
export const endsBy: { readonly [K in ErrorCode]?: 'damaged' | 'outdated' } = {
  CORRUPT: 'damaged',
  UNSUPPORTED_VERSION: 'outdated',
};
