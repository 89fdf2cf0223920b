import { namesOf, type Probe } from './marks';
import { hostProbes } from './marks-host';
import { raftProbes } from './marks-raft';
import { serviceProbes } from './marks-service';

export const probes: readonly Probe[] = [...raftProbes, ...hostProbes, ...serviceProbes];
export const markNames: readonly string[] = namesOf(probes);
