import type { NodeName, ReplicaId } from '../base/ids';
import { bytes, struct, type TypeOf, text, u8 } from './codec';
import { nodeNameCodec } from './ids';

/** Where an actor lives: its node and its name there. */
export const addressCodec = struct({ node: nodeNameCodec, actor: text });
export type Address = TypeOf<typeof addressCodec>;

export const replicaActor = (replica: ReplicaId): string => `replica/${replica}`;
export const logActor = 'log';
/** One a machine: what it says to other machines for all its groups. */
export const beatsActor = 'beats';
/** One a shard thread: keeps the time of the replicas there. */
export const keeperActor = (thread: string): string => `keeper/${thread}`;
export const supervisorActor = 'supervisor';
export const placementActor = 'pd';
export const gatewayActor = 'gateway';

export const at = (node: NodeName, actor: string): Address => ({ node, actor });
export const addressText = (address: Address): string => `${address.node}/${address.actor}`;

/**
 * Lanes of a mailbox, in the order they are served. Consensus before completions before data, so that no flood of
 * searches starves a tick (DESIGN D1).
 */
export const lanes = { consensus: 0, completion: 1, data: 2 } as const;
export type Lane = (typeof lanes)[keyof typeof lanes];

/** An encoded message on its way between threads or machines. Relays read the addresses and never the payload. */
export const frameCodec = struct({ lane: u8, to: addressCodec, from: addressCodec, payload: bytes });
export type Frame = TypeOf<typeof frameCodec>;
