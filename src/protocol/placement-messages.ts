import { bool, list, nullable, oneOf, struct, type TypeOf, text, varint } from './codec';
import { failureCodec } from './data-messages';
import { flagRangeCodec } from './flags';
import {
  clusterIdCodec,
  collectionIdCodec,
  epochCodec,
  logIndexCodec,
  replicaIdCodec,
  revisionCodec,
  shardIdCodec,
  termCodec,
  workerIdCodec,
} from './ids';
import { configurationCodec } from './raft-messages';
import {
  collectionRecordCodec,
  hnswCodec,
  laterStorage,
  memberListCodec,
  metricCodec,
  removeRecordCodec,
  shardRecordCodec,
  storageCodec,
  workerRecordCodec,
} from './records';
import { firstSchemaCodec, indexedTypeCodec, schemaCodec } from './schemas';

/**
 * What a watcher holds after following the stream up to `revision`. With `full` the lists are the whole truth for the
 * watcher's scope; otherwise they are what changed after `fromRevision`: a watcher that stands before it has missed an
 * event and must ask again. Absence from a list never destroys anything (DESIGN D8).
 */
export const placementChangeCodec = struct({
  cluster: clusterIdCodec,
  /** Of the driver's history: one that started from nothing again has another. 0: not drawn yet. */
  incarnation: varint,
  fromRevision: revisionCodec,
  revision: revisionCodec,
  full: bool,
  workers: list(workerRecordCodec),
  collections: list(collectionRecordCodec),
  collectionsDeleted: list(collectionIdCodec),
  shards: list(shardRecordCodec),
  shardsRetired: list(shardIdCodec),
  removals: list(removeRecordCodec),
});
export type PlacementChange = TypeOf<typeof placementChangeCodec>;

/** A replica's report in its worker's heartbeat; `leader` 0 is unknown. */
export const replicaReportCodec = struct({
  shard: shardIdCodec,
  replica: replicaIdCodec,
  epoch: epochCodec,
  term: termCodec,
  leader: replicaIdCodec,
  appliedIndex: logIndexCodec,
  points: varint,
});
export type ReplicaReport = TypeOf<typeof replicaReportCodec>;

/**
 * A replica that needs its peers, in its worker's report. `damaged`: what it holds is not what it acknowledged; it serves
 * no more and is to be replaced under a new id. `undecided`: its group's checksums differ and no majority says whose is
 * right; it serves on, and people must decide. `outdated`: it met what only a later version of the program knows, and
 * waits for its machine to run that.
 */
export const replicaFaultCodec = struct({
  shard: shardIdCodec,
  replica: replicaIdCodec,
  epoch: epochCodec,
  state: oneOf('damaged', 'undecided', 'outdated'),
  reason: text,
});
export type ReplicaFault = TypeOf<typeof replicaFaultCodec>;

/** Soft state (DESIGN D8): who leads, as last heard. Sent outside the revisioned stream. */
export const leaderHintCodec = struct({
  shard: shardIdCodec,
  epoch: epochCodec,
  term: termCodec,
  leader: replicaIdCodec,
});
export type LeaderHint = TypeOf<typeof leaderHintCodec>;

const request = { request: varint };
const reply = { request: varint, failure: nullable(failureCodec) };
const newCollection = {
  name: text,
  dimension: varint,
  metric: metricCodec,
  hnsw: hnswCodec,
  shardCount: varint,
  replicationFactor: varint,
};

/** Between gateways, workers and the placement driver. Only its leader answers; others fail with NOT_LEADER. Tags 80 to 119 and 140 to 159. */
export const placementVariants = {
  80: [
    'pd.registerWorker',
    struct({
      ...request,
      cluster: clusterIdCodec,
      node: text,
      address: text,
      zone: text,
      rack: text,
      storeIncarnation: text,
      worker: workerIdCodec,
    }),
  ],
  81: [
    'pd.workerRegistered',
    struct({
      ...reply,
      cluster: clusterIdCodec,
      incarnation: varint,
      worker: workerIdCodec,
      revision: revisionCodec,
    }),
  ],
  /** Load and soft state only; assignments travel by watch. */
  82: [
    'pd.heartbeat',
    struct({
      ...request,
      cluster: clusterIdCodec,
      worker: workerIdCodec,
      replicas: list(replicaReportCodec),
      removed: list(replicaIdCodec),
    }),
  ],
  83: ['pd.heartbeatReply', struct({ ...reply, term: termCodec, revision: revisionCodec })],
  84: ['pd.createCollection', struct({ ...request, ...newCollection, storage: laterStorage })],
  85: [
    'pd.collectionCreated',
    struct({ ...reply, collection: nullable(collectionRecordCodec), revision: revisionCodec }),
  ],
  86: ['pd.deleteCollection', struct({ ...request, name: text })],
  87: ['pd.collectionDeleted', struct({ ...reply, revision: revisionCodec })],
  /**
   * Starts, or renews, a stream to the sender: everything after `fromRevision` for `worker` (0: the whole routing, for
   * gateways). Renewed every few seconds; the driver drops a watcher that does not.
   */
  88: ['pd.watch', struct({ ...request, cluster: clusterIdCodec, worker: workerIdCodec, fromRevision: revisionCodec })],
  89: [
    'pd.watchEvent',
    struct({ ...reply, term: termCodec, change: placementChangeCodec, leaders: list(leaderHintCodec) }),
  ],
  90: ['pd.status', struct(request)],
  91: [
    'pd.statusReply',
    struct({ ...reply, leader: replicaIdCodec, term: termCodec, revision: revisionCodec, digest: text }),
  ],
  /**
   * Replaces a replica by a new one, on the worker `target` (0: the driver chooses). Answered once it is decided; the
   * replica is gone when its shard's record does not list it any more. Asked again, it is the same move.
   */
  92: [
    'pd.moveReplica',
    struct({
      ...request,
      cluster: clusterIdCodec,
      shard: shardIdCodec,
      replica: replicaIdCodec,
      target: workerIdCodec,
    }),
  ],
  /** `replica` is the new one. */
  93: ['pd.replicaMoving', struct({ ...reply, replica: replicaIdCodec, revision: revisionCodec })],
  /** Asks the shard's leader to hand over to `replica`. Answered once it is on its way; nothing may come of it. */
  94: [
    'pd.transferLeader',
    struct({ ...request, cluster: clusterIdCodec, shard: shardIdCodec, replica: replicaIdCodec }),
  ],
  95: ['pd.leaderTransferring', struct({ ...reply, revision: revisionCodec })],
  /** Creates the payload index of a key, or with null drops it. */
  96: ['pd.changeSchema', struct({ ...request, name: text, key: text, type: nullable(indexedTypeCodec) })],
  /** `settled`: every shard has applied it. */
  97: [
    'pd.schema',
    struct({
      ...reply,
      collection: collectionIdCodec,
      schema: firstSchemaCodec,
      settled: bool,
      revision: revisionCodec,
    }),
  ],
  98: ['pd.getSchema', struct({ ...request, name: text })],
  /** As pd.createCollection, of one whose points live for `ttlMs`; answered alike. */
  140: ['pd.createMortal', struct({ ...request, ...newCollection, storage: storageCodec, ttlMs: varint })],
  /** How long points of the collection live whose writes do not say; 0: for ever. */
  141: ['pd.changeTtl', struct({ ...request, name: text, ttlMs: varint })],
  142: ['pd.getTtl', struct({ ...request, name: text })],
  /** As pd.schema. */
  143: [
    'pd.ttl',
    struct({ ...reply, collection: collectionIdCodec, ttlMs: varint, settled: bool, revision: revisionCodec }),
  ],
  /** The driver to a shard's leader: put this into the shard's log. `term` is the driver's. */
  118: ['schema.order', struct({ ...request, shard: shardIdCodec, term: termCodec, schema: schemaCodec })],
  /** `revision`: of the schema that the replica has applied. */
  119: ['schema.state', struct({ ...reply, shard: shardIdCodec, replica: replicaIdCodec, revision: varint })],
  /** A replica to its supervisor: when its role, leader or term changes, and every second. */
  100: ['replica.report', struct({ report: replicaReportCodec })],
  /** A replica to its supervisor: at once, and every few seconds for as long as it holds. */
  110: ['replica.fault', struct({ fault: replicaFaultCodec })],
  /** Beside a heartbeat, and answered like one, while there are any. */
  111: [
    'pd.replicaFaults',
    struct({ ...request, cluster: clusterIdCodec, worker: workerIdCodec, faults: list(replicaFaultCodec) }),
  ],
  /** A worker to the driver: the levels (flags.ts) at which it can run replicas. Until it is answered, and to every leader. */
  112: ['pd.support', struct({ ...request, cluster: clusterIdCodec, worker: workerIdCodec, range: flagRangeCodec })],
  /** From node to leader of the driver's own group, while the records say otherwise. */
  113: ['pd.driverSupport', struct({ cluster: clusterIdCodec, replica: replicaIdCodec, range: flagRangeCodec })],
  /** The driver to a shard's leader: raise the shard to `level`. Answered with what it is at now; asked again until it is there. */
  114: ['level.raise', struct({ ...request, shard: shardIdCodec, term: termCodec, level: varint })],
  115: [
    'level.state',
    struct({ ...reply, shard: shardIdCodec, replica: replicaIdCodec, leader: replicaIdCodec, level: varint }),
  ],
  /** Which flags are on, and who supports which: a null range has not been told, a null level is not known to this leader. */
  116: ['pd.flags', struct(request)],
  117: [
    'pd.flagsReply',
    struct({
      ...reply,
      level: varint,
      nodes: list(struct({ name: text, driver: bool, range: nullable(flagRangeCodec) })),
      shards: list(struct({ shard: shardIdCodec, level: nullable(varint) })),
    }),
  ],
  101: ['replica.destroyed', struct({ replica: replicaIdCodec })],
  /** The driver to a replica: who are the members, and who leads? Answered by every replica that runs. */
  105: ['members.ask', struct({ ...request, shard: shardIdCodec })],
  /**
   * The driver to a shard's leader: change the members, if confVersion is still this. `term` is the driver's: who has heard
   * of a later one refuses. `members` says where those are that the leader may not know yet.
   */
  106: [
    'members.change',
    struct({
      ...request,
      shard: shardIdCodec,
      term: termCodec,
      confVersion: varint,
      voters: list(replicaIdCodec, 16),
      learners: list(replicaIdCodec, 16),
      members: memberListCodec,
    }),
  ],
  107: ['members.handOver', struct({ ...request, shard: shardIdCodec, term: termCodec, to: replicaIdCodec })],
  /** Epoch and configuration as applied by a leader; `changing`: a change or a hand-over is not over. Others only name the leader. */
  108: [
    'members.state',
    struct({
      ...reply,
      shard: shardIdCodec,
      replica: replicaIdCodec,
      leader: replicaIdCodec,
      epoch: epochCodec,
      configuration: configurationCodec,
      changing: bool,
    }),
  ],
  /** What a worker's supervisor runs. Asked on its own machine; `worker` 0 is not yet registered. */
  102: ['supervisor.status', struct(request)],
  103: [
    'supervisor.statusReply',
    struct({
      ...request,
      /** Every replica it was told to run is running and knows its leader. */
      ready: bool,
      worker: workerIdCodec,
      revision: revisionCodec,
      /** Why a driver, or an assignment, was last refused; empty: none was. */
      refusal: text,
      replicas: list(
        struct({
          replica: replicaIdCodec,
          shard: shardIdCodec,
          state: oneOf('running', 'waiting', 'destroying', 'unlogging'),
          /** Times it ended and was started again. */
          restarts: varint,
          /** True: it runs although the placement driver does not list it; kept, and for people to decide on. */
          orphan: bool,
        }),
      ),
    }),
  ],
} as const;
