import { Prng } from '../../src/base/prng';
import { type Address, addressText } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import type { RaftMessageKind } from '../../src/protocol/raft-messages';
import type { NetworkOptions } from './options';

/** A copy of something that arrived, ready to arrive again. */
interface Copy {
  readonly atMs: number;
  readonly arrive: () => void;
}

/** What comes again, and after which delay. */
export interface Echo {
  readonly delayMs: number;
  readonly arrive: () => void;
}

/** What a member sends, and which old answers may come to it then. */
const provoked: Partial<Record<RaftMessageKind, string>> = {
  voteRequest: 'voteResponse',
  heartbeatRequest: 'heartbeatResponse',
  appendResponse: 'peer.snapshotChunk',
};
const kept: ReadonlySet<string> = new Set(Object.values(provoked));
/** Snapshots are few, and appends many. */
const snapshotShare = 0.03;
const copiesMax = 8;
const ageMsMax = 20_000;

/**
 * Late copies at the worst moment: when a member asks for votes, or whether it still leads, old answers of its peers arrive
 * once more, of earlier terms and rounds; when it acknowledges entries, chunks of snapshots that it was sent before. Each was
 * on its way all the time, so it comes also over a link that has been cut since, and to a process that has started anew.
 */
export class Echoes {
  private readonly random: Prng;
  private readonly copies = new Map<string, Copy[]>();

  constructor(
    seed: number,
    private readonly options: Pick<NetworkOptions, 'echoChance' | 'delayMeanMs'>,
  ) {
    this.random = new Prng(seed ^ 0xec40);
  }

  /** A message has left that will arrive. */
  keep(to: Address, message: Message, atMs: number, arrive: () => void): void {
    const kind = kindOf(message);
    if (this.options.echoChance === 0 || !kept.has(kind)) return;
    const key = keyOf(to, kind);
    const copies = this.copies.get(key) ?? [];
    this.copies.set(key, copies);
    copies.push({ atMs, arrive });
    if (copies.length > copiesMax) copies.shift();
  }

  /** What comes to the sender of a message that leaves now. */
  provokedBy(from: Address, message: Message, now: number): Echo[] {
    if (this.options.echoChance === 0 || message.kind !== 'peer.raft') return [];
    const kind = provoked[message.message.kind];
    if (kind === undefined || isPlainBeat(message)) return [];
    const copies = this.copies.get(keyOf(from, kind)) ?? [];
    if (copies.length === 0) return [];
    const share = kind === 'peer.snapshotChunk' ? snapshotShare : 1;
    if (!this.random.chance(this.options.echoChance * share)) return [];
    let delayMs = 0;
    return copies
      .filter(({ atMs }) => now - atMs <= ageMsMax)
      .map(({ arrive }) => {
        delayMs += (this.random.float() * this.options.delayMeanMs) / 4;
        return { delayMs, arrive };
      });
  }
}

const keyOf = (to: Address, kind: string): string => `${addressText(to)} ${kind}`;
const kindOf = (message: Message): string => (message.kind === 'peer.raft' ? message.message.kind : message.kind);

const isPlainBeat = ({ message }: Extract<Message, { kind: 'peer.raft' }>): boolean =>
  message.kind === 'heartbeatRequest' && message.readContext === 0;
