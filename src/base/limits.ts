/**
 * Hard limits. Those marked "wire" or "disk" shape bytes that outlive a process and are not configuration: changing one
 * needs a new format version. The rest bound memory and work.
 */
/** wire, disk: bytes of a point id in UTF-8. */
export const pointIdBytesMax = 512;
/** wire, disk */
export const dimensionMax = 65_536;
/** wire: bytes of one point's payload as JSON. */
export const payloadBytesMax = 1024 * 1024;
/** wire: points in one write request. */
export const batchPointsMax = 4_096;
/** wire: bytes of replaced points in the answer to a write; those beyond are left out and counted. */
export const previousBytesMax = 16 * 1024 * 1024;
/** wire: commit tokens in the error of a write that failed in part, which travel in a header. */
export const failureTokensMax = 64;
/** wire: commit tokens in one read. */
export const readTokensMax = 1_024;
/** wire: bytes of one request at the gateway. */
export const requestBytesMax = 32 * 1024 * 1024;
/** wire, disk: bytes of one log entry; a larger write is cut into several by the gateway. */
export const entryBytesMax = 4 * 1024 * 1024;
/** wire: bytes of an idempotency key in UTF-8. */
export const idempotencyKeyBytesMax = 128;
/** disk: for how long at most, in log time, a repeated write is known as one. */
export const idempotencyWindowMsMax = 600_000;
/** disk: live idempotency keys of one point; a write with a new key is refused beyond. */
export const pointKeysMax = 1_024;
export const searchKMax = 10_000;
export const efMax = 10_000;
export const hnswMMax = 128;
export const efConstructionMax = 4_000;
export const shardCountMax = 1_024;
export const collectionCountMax = 10_000;
/** wire: `[A-Za-z0-9_-]{1,128}`; names never make paths. */
export const nameLengthMax = 128;
export const deadlineMsMax = 600_000;
/** Messages that wait in one actor's mailbox for data work; consensus and completions have their own lanes. */
export const mailboxDataMax = 4_096;
export const mailboxConsensusMax = 16_384;
/** wire: bytes of one frame between threads or machines. */
export const frameBytesMax = 64 * 1024 * 1024;
/** Proposals a leader holds that have not been applied: bytes and count. */
export const uncommittedBytesMax = 64 * 1024 * 1024;
export const inflightProposalsMax = 4_096;
/** Bytes of entries on their way to one follower, beyond which no more leave: an eighth of what a link holds for a machine. */
export const inflightBytesMax = 8 * 1024 * 1024;
/** Log entries kept in memory and on disk behind the applied index, for followers that lag: bytes. */
export const logWindowBytesMax = 32 * 1024 * 1024;
/** wire: entries of one append message. The core also hands its host at most so many at a time. */
export const appendEntriesMax = 65_536;
/** Rounds of heartbeats that a leader has open to confirm reads; reads beyond share the next round. */
export const raftReadRoundsMax = 64;
/** Heartbeats and answers that wait for a machine's next message to one other. */
export const beatsWaitingMax = 65_536;
/** Lives of other machines' threads that a machine keeps track of; of more, those heard longest ago are forgotten. */
export const livesHeardMax = 4_096;
/** What a replica remembers of the points written last, so as not to read their records again. */
export const recentPointsBytesMax = 4 * 1024 * 1024;
/** Points not yet linked into the graph before writes are refused with RESOURCE_EXHAUSTED. */
export const unlinkedPointsMax = 4_096;
/** wire: bytes of one snapshot chunk. */
export const snapshotChunkBytesMax = 1024 * 1024;
/** Chunks of a snapshot that a receiver keeps ahead of the one it waits for. */
export const snapshotChunksAheadMax = 256;
/** Members that a replica's group may name: voters, outgoing voters and learners, each. */
export const groupMembersMax = 64;
/** Replicas that a replica knows only because they wrote to it; of more, those heard first are forgotten. */
export const strangersMax = 64;
/** Checksums that one peer may claim ahead of what is applied here. */
export const earlyClaimsMax = 4;
/** What the log writer puts into one batch and one sync: bytes of entries, and messages. */
export const logBatchBytesMax = 8 * 1024 * 1024;
export const logBatchCountMax = 4_096;
/** Frames that one thread may have on their way to another without hearing that they arrived: count and bytes. */
export const portMessagesMax = 16_384;
export const portBytesMax = 64 * 1024 * 1024;
/** Frames that wait in a link for one peer: count and bytes. */
export const linkQueueMessagesMax = 16_384;
export const linkQueueBytesMax = 64 * 1024 * 1024;
/** wire: bytes of entries in one part of a log that its member opens; far below what a frame may take. */
export const openedEntriesBytesMax = 8 * 1024 * 1024;
/** wire: levels of groups and nested filters in one filter. */
export const filterDepthMax = 12;
/** wire: groups and conditions in one filter. */
export const filterClausesMax = 512;
/** wire: values and ids named in one filter. */
export const filterValuesMax = 4_096;
/** wire: bytes of a key, value or text in a filter. */
export const filterTextBytesMax = 1_024;
/** wire: points in one page of a scroll. */
export const scrollPageMax = 1_000;
/** wire: disjoint slices that a scroll may be cut into. */
export const scrollSlicesMax = 1_024;
/** wire, disk: payload indexes of one collection. */
export const payloadIndexesMax = 64;
/** wire: how long a point may live at most, in milliseconds of log time: a hundred years. */
export const ttlMsMax = 100 * 365 * 86_400_000;
/** wire, disk: points that one command purges. */
export const expireIdsMax = 256;
/** Values of one point in one payload index; what is beyond is found by reading the payload. */
export const indexedValuesMax = 1_024;
/** What the payload indexes of one replica may take in memory, about; one that would go beyond is given up until it is made anew. */
export const payloadIndexBytesMax = 512 * 1024 * 1024;
/** wire: searches in one batch. */
export const queriesMax = 256;
/** wire: how many times k may be looked for. */
export const oversamplingMax = 100;
