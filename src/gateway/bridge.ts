import { VectronError } from '../base/errors';
import type { ActorContext } from '../runtime/actor';
import type { AnswerOf, CallKind, CallOf, GatewayBackend } from './calls';
import type { GatewayActor } from './gateway-actor';

/** Runs a task as a handler of the gateway's actor: ActorHost.perform bound to its name. False: there is no such actor. */
export type Perform = (task: (context: ActorContext) => void) => boolean;

/** How the servers, on the actor's own thread, hand calls to it and await their outcomes. */
export class GatewayBridge implements GatewayBackend {
  constructor(
    private readonly actor: GatewayActor,
    private readonly perform: Perform,
  ) {}

  get ready(): boolean {
    return this.actor.ready;
  }

  call<K extends CallKind>(call: CallOf<K>, timeoutMs: number): Promise<AnswerOf<K>> {
    return new Promise((resolve, reject) => {
      const running = this.perform((context) =>
        this.actor.submit(context, call, timeoutMs, (outcome) =>
          outcome.ok ? resolve(outcome.answer) : reject(outcome.error),
        ),
      );
      if (!running) reject(new VectronError('UNAVAILABLE', 'the gateway is not running', { retryAfterMs: 1_000 }));
    });
  }
}
