import type { ClusterId } from '../../src/base/ids';
import { nodeName } from '../../src/base/ids';
import type { AnswerOf, CallKind, CallOf, Outcome } from '../../src/gateway/calls';
import { GatewayActor } from '../../src/gateway/gateway-actor';
import { gatewayActor } from '../../src/protocol/envelope';
import type { KeyHash } from '../../src/protocol/key-hash';
import { placementNodes } from './machine';
import type { SimThread } from './sim-thread';
import { SimNode, type SimWorld } from './world';

export const gatewayNode = nodeName('gateway-1');

/** The process that clients talk to. It keeps nothing, so its successor knows nothing; calls under way end with it. */
export class GatewayProcess {
  private actor: GatewayActor;
  private thread: SimThread;

  constructor(
    private readonly world: SimWorld,
    private readonly cluster: ClusterId,
    private readonly keyHash: KeyHash,
  ) {
    this.actor = this.newActor();
    this.thread = this.boot();
  }

  get openCount(): number {
    return this.actor.openCount;
  }

  call<K extends CallKind>(call: CallOf<K>, timeoutMs: number, done: (outcome: Outcome<AnswerOf<K>>) => void): void {
    const { actor, thread } = this;
    actor.hand((task) => thread.host.perform(gatewayActor, task), call, timeoutMs, done);
    thread.wake();
  }

  /** Stops and starts again under the same name: answers to the old process may still reach the new one. */
  restart(): void {
    this.world.note(`RESTART ${gatewayNode}`);
    const { thread } = this;
    // Clients that hear of the end call again at once: the successor must be there.
    this.actor = this.newActor();
    this.thread = this.boot();
    thread.host.stop(gatewayActor, 'restarted');
  }

  private newActor(): GatewayActor {
    const { cluster, keyHash } = this;
    return new GatewayActor({ cluster, placementNodes, links: { setPeers: () => undefined }, keyHash });
  }

  private boot(): SimThread {
    const node = this.world.nodes.get(gatewayNode) ?? new SimNode(this.world, gatewayNode);
    node.threads.clear();
    const thread = node.addThread('main');
    thread.host.spawn(gatewayActor, this.actor);
    thread.wake();
    return thread;
  }
}
