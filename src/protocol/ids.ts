import type {
  ClusterId,
  CollectionId,
  Incarnation,
  KeyHash64,
  LogIndex,
  NodeName,
  ReplicaId,
  Revision,
  ShardId,
  Term,
  WorkerId,
} from '../base/ids';
import { branded, struct, type TypeOf, text, u64, varint } from './codec';

export const clusterIdCodec = branded<ClusterId>(text);
export const nodeNameCodec = branded<NodeName>(text);
export const workerIdCodec = branded<WorkerId>(varint);
export const collectionIdCodec = branded<CollectionId>(varint);
export const shardIdCodec = branded<ShardId>(varint);
export const replicaIdCodec = branded<ReplicaId>(varint);
export const incarnationCodec = branded<Incarnation>(varint);
export const termCodec = branded<Term>(varint);
export const logIndexCodec = branded<LogIndex>(varint);
export const revisionCodec = branded<Revision>(varint);
export const keyHashCodec = branded<KeyHash64>(u64);

/** A shard's epoch: `version` changes with its range, `confVersion` with its members. Both only grow (DESIGN D7). */
export const epochCodec = struct({ version: varint, confVersion: varint });
export type Epoch = TypeOf<typeof epochCodec>;

export const sameEpoch = (a: Epoch, b: Epoch): boolean => a.version === b.version && a.confVersion === b.confVersion;
