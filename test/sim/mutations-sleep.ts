import { MachineBeats } from '../../src/actors/machine-beats';
import { MemberSleep } from '../../src/actors/raft-member-sleep';
import { ThreadKeeper } from '../../src/actors/thread-keeper';
import type { ReplicaId } from '../../src/base/ids';
import type { MessageOf } from '../../src/protocol/messages';
import type { RaftCore } from '../../src/raft/types';
import type { ActorContext } from '../../src/runtime/actor';
import { type Mutation, patch } from './mutation';

type Beats = MessageOf<'beat.machine'>;
type SleepMessage = MessageOf<'peer.sleep'>;

/** Bugs in the sleep of idle groups and in the heartbeats they share. */
export const sleepMutations: readonly Mutation[] = [
  {
    name: 'sleep-through-death',
    what: 'a sleeping follower does not wake when its leader’s thread or machine is dead',
    patches: [
      patch<ThreadKeeper, [number]>(ThreadKeeper.prototype, 'turn', (_keeper, original, args) => ({
        ...(original(...args) as ReturnType<ThreadKeeper['turn']>),
        doubt: [],
      })),
    ],
  },
  {
    name: 'beat-in-dead-thread-name',
    what: 'a machine goes on to say that a thread lives which has fallen silent',
    patches: [
      patch<{ locals: Map<string, object> }, []>(MachineBeats.prototype, 'listen', () => undefined),
      patch<{ locals: Map<string, object> }, []>(MachineBeats.prototype, 'speaking', ({ locals }) => [
        ...locals.values(),
      ]),
    ],
  },
  {
    name: 'lost-member-not-told',
    what: 'a thread whose sleeping replica ended alone goes on under the same life',
    patches: [patch(ThreadKeeper.prototype, 'lost', () => undefined)],
  },
  {
    name: 'answers-credited-to-wrong-group',
    what: 'the answers of one message are each taken for those of the group before',
    patches: [
      patch<MachineBeats, [Beats, ActorContext]>(
        MachineBeats.prototype,
        'hear',
        (_beats, original, [message, context]) => {
          const { beats } = message;
          const shifted = beats.map((beat, i) => {
            const of = beats[(i + 1) % beats.length] ?? beat;
            const { from, to } = of.message;
            return { shard: of.shard, epoch: of.epoch, message: { ...beat.message, from, to } };
          });
          return original({ ...message, beats: shifted }, context);
        },
      ),
    ],
  },
  {
    name: 'sleep-while-behind',
    what: 'a group goes to sleep although a follower lacks entries',
    patches: [
      patch<
        { core: RaftCore | null; say: (...args: readonly unknown[]) => void },
        [RaftCore, SleepMessage, ActorContext]
      >(MemberSleep.prototype, 'asked', (sleep, _original, [core, message, context]) =>
        sleep.say(message.from, 'ready', core, context),
      ),
      // The leader looks as well, and would not ask: each of the two would be enough.
      patch<{ port: { isBusy(): boolean } }, [RaftCore]>(
        MemberSleep.prototype,
        'mayRest',
        ({ port }, _original, [core]) => core.role === 'leader' && !port.isBusy(),
      ),
      patch<{ fallAsleep: (...args: readonly unknown[]) => void }, [RaftCore, SleepMessage, ActorContext]>(
        MemberSleep.prototype,
        'told',
        (sleep, _original, [, { from, life }, context]) => sleep.fallAsleep(new Map([[from, life]]), context),
      ),
    ],
  },
  {
    name: 'sleep-without-answers',
    what: 'a leader sleeps as soon as one member is ready',
    patches: [
      patch<MemberSleep, [RaftCore]>(MemberSleep.prototype, 'others', (_sleep, original, [core]) => {
        const others = original(core) as ReplicaId[];
        return others.slice(0, 1);
      }),
    ],
  },
  {
    name: 'wake-without-silence',
    what: 'who wakes takes all others for silent since it fell asleep',
    patches: [
      patch<{ asleep: boolean; core: RaftCore | null }, []>(MemberSleep.prototype, 'recall', ({ asleep, core }) => {
        if (asleep) core?.resume(() => Number.POSITIVE_INFINITY);
      }),
    ],
  },
];
