import { type RaftMemberTuning, raftMemberTuning } from '../actors/raft-member-options';
import type { ClusterId, NodeName } from '../base/ids';
import type { MachineLink } from '../runtime/node/machine';

/** What every kind of node is started with. */
export interface NodeOptions {
  readonly cluster: ClusterId;
  readonly node: NodeName;
  readonly dataDirectory: string;
  readonly link: MachineLink;
  /** The placement driver, in the order of its members' ids; addresses are empty within one process. */
  readonly placement: readonly { readonly node: NodeName; readonly address: string }[];
  readonly raft: RaftMemberTuning;
  /** Events that a person who runs the node should see. */
  readonly report: (line: string) => void;
}

interface ConsensusSettings {
  readonly VECTRON_TICK_MS: number;
  readonly VECTRON_HEARTBEAT_TICKS: number;
  readonly VECTRON_ELECTION_TICKS: number;
}

export const raftTuning = (config: ConsensusSettings): RaftMemberTuning => ({
  ...raftMemberTuning,
  tickMs: config.VECTRON_TICK_MS,
  heartbeatTicks: config.VECTRON_HEARTBEAT_TICKS,
  electionTicks: config.VECTRON_ELECTION_TICKS,
});

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
