/** Branded numbers and strings: two kinds of id can never be swapped by mistake. All numbers are safe integers. */
declare const brand: unique symbol;
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

export type ClusterId = Branded<string, 'ClusterId'>;
/** A process's (or simulated machine's) name on the internal network: `machine-1`, `pd-2`, `gateway-1`. */
export type NodeName = Branded<string, 'NodeName'>;
export type WorkerId = Branded<number, 'WorkerId'>;
export type CollectionId = Branded<number, 'CollectionId'>;
export type ShardId = Branded<number, 'ShardId'>;
/** Unique in the cluster for ever: a replica id is never reused (DESIGN D7). */
export type ReplicaId = Branded<number, 'ReplicaId'>;
/** Counts the starts of one replica on its store; writes and completions of an older one are dropped (DESIGN D2). */
export type Incarnation = Branded<number, 'Incarnation'>;
/** A Raft term. 0 before the first election. */
export type Term = Branded<number, 'Term'>;
/** A position in a Raft log. The first entry has index 1; 0 stands before it. */
export type LogIndex = Branded<number, 'LogIndex'>;
/** A position in the placement driver's history of changes. */
export type Revision = Branded<number, 'Revision'>;
/** A key space inside a store: see storage/keys. */
export type Space = Branded<bigint, 'Space'>;
/** XXH3_64 of a point id, in the full uint64 range. */
export type KeyHash64 = Branded<bigint, 'KeyHash64'>;

export const clusterId = (value: string): ClusterId => value as ClusterId;
export const nodeName = (value: string): NodeName => value as NodeName;
export const workerId = (value: number): WorkerId => value as WorkerId;
export const collectionId = (value: number): CollectionId => value as CollectionId;
export const shardId = (value: number): ShardId => value as ShardId;
export const replicaId = (value: number): ReplicaId => value as ReplicaId;
export const incarnation = (value: number): Incarnation => value as Incarnation;
export const term = (value: number): Term => value as Term;
export const logIndex = (value: number): LogIndex => value as LogIndex;
export const revision = (value: number): Revision => value as Revision;
export const keyHash64 = (value: bigint): KeyHash64 => value as KeyHash64;

/** Stands for no replica where one may be unknown: nobody leads, nobody was voted for. */
export const noReplica = replicaId(0);
