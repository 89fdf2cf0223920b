import type { AnswerOf, CallKind, CallOf, GatewayBackend } from './calls';
import type { GatewayActor, Perform } from './gateway-actor';

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
      this.actor.hand(this.perform, call, timeoutMs, (outcome) =>
        outcome.ok ? resolve(outcome.answer) : reject(outcome.error),
      );
    });
  }
}
