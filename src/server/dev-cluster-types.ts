import type { RaftMemberTuning } from '../actors/raft-member-options';
import type { SupervisorStatus } from '../actors/supervisor';
import type { LogIndex, NodeName, ReplicaId, ShardId, Term } from '../base/ids';

/**
 * The handles of a cluster in this process. They exist for the failover example, the chaos tests and `npm start`; no call
 * of the wire reaches a kill or a direct read.
 */
export interface DevClusterOptions {
  /** Made when it does not exist; a cluster that ran on it before goes on from its data. */
  readonly dataDirectory: string;
  /** 0 takes a free port. */
  readonly grpcPort?: number;
  readonly httpPort?: number;
  /** With one key a line. Default: `api-key` in the data directory; made when it does not exist. */
  readonly apiKeyFile?: string;
  /** Of the public ports. Default: loopback. */
  readonly host?: string;
  readonly cluster?: string;
  /** Of each machine. Default 2. */
  readonly shardThreads?: number;
  /** Default false: points are linked into graphs as they come. */
  readonly ingest?: boolean;
  readonly indexBytesMax?: number;
  readonly raft?: RaftMemberTuning;
  /** What start-up is doing, for a person to read. */
  readonly onProgress?: (line: string) => void;
}

/** Reads the replicas of a collection past all routing. */
export interface ReplicaReader {
  /** Every replica of the collection, shard by shard in hash order, as the replicas themselves report. */
  replicasOf(collection: string): Promise<readonly ReplicaView[]>;

  /** Reads one replica's own store, wherever it stands in the log, in key order; every point once. */
  scanReplica(replica: ReplicaId): AsyncIterable<ScannedPoint>;
}

export interface DevCluster extends ReplicaReader {
  /** `host:port` of the gateway, for gRPC. */
  readonly grpcAddress: string;
  /** `http://host:port` of the gateway. */
  readonly httpAddress: string;
  readonly apiKey: string;
  readonly dataDirectory: string;
  readonly machines: readonly SimulatedMachine[];

  /**
   * The three kills. Each stops whatever hosts the leader of the collection's shard (its position in hash order) and
   * resolves when that is gone: the leader's actor, as if its handler had thrown; its shard thread, by termination; its
   * machine, without flush or farewell. Supervision brings actor and thread back; a machine stays down until restart().
   * They wait for a leader when there is none, and reject with DEADLINE_EXCEEDED after 10 s without one.
   */
  killLeaderActor(collection: string, shardIndex: number): Promise<KilledReplica>;
  killLeaderThread(collection: string, shardIndex: number): Promise<KilledReplica>;
  killLeaderMachine(collection: string, shardIndex: number): Promise<KilledReplica>;

  /**
   * Has the replica replaced by a new one, where there is room for it; resolves with the new one's id once
   * that is decided. It is done when replicasOf() does not list the old one any more. A move under way is joined.
   */
  moveReplica(view: Pick<ReplicaView, 'shard' | 'replica'>): Promise<ReplicaId>;
  /** Asks the shard's leader to hand over to the replica. Nothing may come of it, if that one lags or is not heard. */
  transferLeadership(view: Pick<ReplicaView, 'shard' | 'replica'>): Promise<void>;

  /** Cuts every link of the node, in both directions, until heal(). */
  isolate(node: NodeName): void;
  /** Ends all faults of links. */
  heal(): void;

  /** Stops cleanly: everything acknowledged is on disk, every thread has ended. */
  stop(): Promise<void>;
}

export type ThreadKind = 'shard' | 'log' | 'link';

/** One of the simulated machines: an own directory, own RocksDB, own threads and supervisor. */
export interface SimulatedMachine {
  readonly node: NodeName;
  readonly alive: boolean;
  /** What its supervisor runs or removes; none while it is down. */
  readonly replicas: SupervisorStatus['replicas'];
  /** Stops it at once, without flush or farewell; resolves when its threads have ended. */
  kill(): Promise<void>;
  /** Starts it again on its data; resolves when its supervisor runs. */
  restart(): Promise<void>;
  /** Ends one of its threads as it is; `at` in [0, 1) chooses among shard threads. False: none was there to be ended. */
  killThread(kind: ThreadKind, at: number): Promise<boolean>;
  /** Handlers that its shard threads have run so far: a measure of what its replicas do. */
  handledCount(): Promise<number>;
}

export interface KilledReplica {
  readonly node: NodeName;
  readonly shard: ShardId;
  readonly replica: ReplicaId;
}

export interface ReplicaView {
  readonly shard: ShardId;
  /** The shard's position in the collection's hash order. */
  readonly shardIndex: number;
  readonly replica: ReplicaId;
  readonly node: NodeName;
  /** Empty: it did not answer within 2 s. */
  readonly role: 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'learner' | '';
  readonly term: Term;
  readonly appliedIndex: LogIndex;
  readonly commitIndex: LogIndex;
  /** Live points. */
  readonly points: number;
  /** Over all records: equal replicas have equal ones. */
  readonly digest: string;
}

export interface ScannedPoint {
  readonly id: string;
  /** Log index of the write that made it what it is. */
  readonly version: number;
  /** float32 little-endian. */
  readonly vector: Uint8Array;
  /** JSON in UTF-8; empty for none. */
  readonly payload: Uint8Array;
}

/**
 * `cluster.json` in the data directory, written when a cluster is ready and removed when it stops. Examples find the
 * running cluster by it, and `npm run reset` refuses while its process lives.
 */
export interface ClusterFile {
  readonly pid: number;
  /** `host:port` */
  readonly grpc: string;
  /** `http://host:port` */
  readonly http: string;
  /** Path of the file with the API key on its first line, mode 600; relative to the data directory. */
  readonly apiKeyFile: string;
}
