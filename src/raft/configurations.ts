import { assert } from '../base/assert';
import { VectronError } from '../base/errors';
import { type LogIndex, logIndex, type ReplicaId } from '../base/ids';
import { decode } from '../protocol/codec';
import {
  type Configuration,
  type ConfigurationChange,
  configurationChangeCodec,
  type Entry,
} from '../protocol/raft-messages';
import { votersOf } from './quorum';

interface InForce {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

/**
 * The configurations that the log holds, from the committed one on. Owned by the core.
 *
 *  1. The last one in the log is in force, committed or not (Raft, section 6).
 *  2. Cutting the log's tail brings back the one before; a committed one is never cut.
 *  3. At most one is not committed: a leader appends no other before (thesis, 4.3).
 */
export class Configurations {
  private readonly known: InForce[];

  /** `entries` may begin at or before `appliedIndex`, as of which `configuration` holds. */
  constructor(configuration: Configuration, appliedIndex: LogIndex, entries: readonly Entry[]) {
    this.known = [{ index: appliedIndex, configuration }];
    for (const entry of entries) if (entry.index > appliedIndex) this.appended(entry);
  }

  get current(): Configuration {
    return this.latest.configuration;
  }
  /** Of the entry that put it in force, or of a later one that is known to be committed. */
  get index(): LogIndex {
    return this.latest.index;
  }

  /**
   * Whether the member votes in a configuration that may still decide: one that left itself out may be the only one with the
   * entry that says so, and has to see it through (thesis, 4.2.2).
   */
  mayElect(member: ReplicaId): boolean {
    return this.known.some(({ configuration }) => votersOf(configuration).includes(member));
  }

  /** True: another configuration is in force. */
  appended(entry: Entry): boolean {
    if (entry.type !== 'config') return false;
    this.known.push({ index: entry.index, configuration: changeIn(entry).configuration });
    return true;
  }

  /** The log ends before `index` now. True: another configuration is in force. */
  cutFrom(index: LogIndex): boolean {
    const { latest } = this;
    while (this.latest.index >= index) {
      assert(this.known.length > 1, 'a committed configuration cannot be cut');
      this.known.pop();
    }
    return latest !== this.latest;
  }

  /** What lies before a committed one is never needed again. */
  committed(index: LogIndex): void {
    while (this.known[1] !== undefined && this.known[1].index <= index) this.known.shift();
  }

  restored(configuration: Configuration, index: LogIndex): void {
    this.known.length = 0;
    this.known.push({ index, configuration });
  }

  private get latest(): InForce {
    return this.known[this.known.length - 1] as InForce;
  }
}

export const isJoint = ({ votersOutgoing }: Configuration): boolean => votersOutgoing.length > 0;

/** Throws CORRUPT. */
export function changeIn({ data, index }: Entry): ConfigurationChange {
  try {
    return decode(configurationChangeCodec, data);
  } catch (thrown) {
    throw new VectronError('CORRUPT', `configuration entry ${logIndex(index)}: ${String(thrown)}`);
  }
}

/** Whether an entry that came from another member can be taken into the log. */
export function isReadable(entry: Entry): boolean {
  if (entry.type !== 'config') return true;
  try {
    return changeIn(entry).configuration.voters.length > 0;
  } catch (thrown) {
    if (thrown instanceof VectronError && thrown.code === 'CORRUPT') return false;
    throw thrown;
  }
}
