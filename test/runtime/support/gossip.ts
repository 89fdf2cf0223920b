import { fromUtf8, utf8 } from '../../../src/base/bytes';
import { replicaId, revision, term } from '../../../src/base/ids';
import { type Address, at, lanes } from '../../../src/protocol/envelope';
import type { Message, MessageOf } from '../../../src/protocol/messages';
import type { Actor, ActorContext, Signal } from '../../../src/runtime/actor';
import type { ThreadSetup } from '../../../src/runtime/node/thread-runtime';

/** What the test threads share: a counter that numbers every actor ever made. */
export interface GossipData {
  readonly incarnations: SharedArrayBuffer;
}

export interface GossipDescriptor {
  /** Chatters with all of these without pause. */
  readonly friends: readonly string[];
  readonly workMs?: number;
}

export const describeGossip = (descriptor: GossipDescriptor): Uint8Array => utf8(JSON.stringify(descriptor));

/** A message that says which incarnation of its sender wrote it, and as the how-manieth to this receiver. */
export const chatter = (incarnation: number, sequence: number, digest = ''): MessageOf<'pd.statusReply'> => ({
  kind: 'pd.statusReply',
  request: sequence,
  failure: null,
  leader: replicaId(0),
  term: term(0),
  revision: revision(incarnation),
  digest,
});

/** Ends the calling thread's progress for `ms`, as native code would. */
function burn(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/**
 * Chatters with its friends and answers pd.status with its incarnation and how many messages it has heard. A message
 * that an older incarnation of a friend wrote, or one out of order, ends it with a reason the tests look for.
 */
export class GossipActor implements Actor {
  private heard = 0;
  private sequence = 0;
  private readonly latest = new Map<string, { incarnation: number; sequence: number }>();

  constructor(
    private readonly incarnation: number,
    private readonly descriptor: GossipDescriptor,
  ) {}

  started(context: ActorContext): void {
    if (this.descriptor.friends.length > 0) this.chat(context);
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    if (message.kind === 'pd.statusReply') this.hear(message, from);
    if (message.kind === 'pd.createCollection') while (true) burn(1_000);
    if (message.kind === 'pd.deleteCollection') throw new Error('told to fail');
    if (message.kind !== 'pd.status') return;
    if (this.descriptor.workMs !== undefined) burn(this.descriptor.workMs);
    const reply = { ...chatter(this.incarnation, this.heard), request: message.request, term: term(this.heard) };
    context.send(from, reply, lanes.completion);
  }

  signalled(_signal: Signal, context: ActorContext): void {
    this.chat(context);
  }

  stopped(): void {
    this.latest.clear();
  }

  private chat(context: ActorContext): void {
    this.sequence++;
    for (const friend of this.descriptor.friends) {
      context.send(at(context.self.node, friend), chatter(this.incarnation, this.sequence), lanes.data);
    }
    context.setTimer('chat', 2, { signal: 'timer', key: 'chat' });
  }

  private hear(message: MessageOf<'pd.statusReply'>, from: Address): void {
    this.heard++;
    const before = this.latest.get(from.actor) ?? { incarnation: 0, sequence: 0 };
    const now = { incarnation: message.revision as number, sequence: message.request };
    const isStale = now.incarnation < before.incarnation;
    const isOutOfOrder = now.incarnation === before.incarnation && now.sequence <= before.sequence;
    if (isStale || isOutOfOrder) {
      throw new Error(`VIOLATION: ${from.actor} ${JSON.stringify(now)} after ${JSON.stringify(before)}`);
    }
    this.latest.set(from.actor, now);
  }
}

export const gossipSetup: ThreadSetup = ({ workerData }) => {
  const { incarnations } = workerData as GossipData;
  return {
    create: (name, descriptor) => {
      if (name === 'impossible') throw new Error('cannot be made');
      const incarnation = Atomics.add(new Int32Array(incarnations), 0, 1) + 1;
      return new GossipActor(incarnation, JSON.parse(fromUtf8(descriptor)) as GossipDescriptor);
    },
  };
};
