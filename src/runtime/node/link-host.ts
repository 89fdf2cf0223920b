import type { MessagePort } from 'node:worker_threads';
import { assert } from '../../base/assert';
import type { VectronError } from '../../base/errors';
import type { ClusterId, NodeName } from '../../base/ids';
import { Link, type PeerAddress } from '../link';
import { GrpcLinkTransport } from './link-grpc';
import { type FaultCells, PortConnection } from './link-ports';
import type { ThreadHub } from './thread-hub';

/** How a node reaches others. Plain data: it is handed to the thread that holds the link. */
export interface LinkSpec {
  readonly node: NodeName;
  readonly cluster: ClusterId;
  readonly transport:
    | { readonly kind: 'fabric' }
    /** `listen` is `host:port`, port 0 for any; null only dials. */
    | { readonly kind: 'grpc'; readonly listen: string | null; readonly heartbeatMs: number };
}

/** A node's link together with its transport, on the thread of the hub it is attached to. */
export class LinkHost {
  readonly link: Link;
  private readonly transport: GrpcLinkTransport | null;
  private listenAddress = '';

  constructor(
    hub: ThreadHub,
    private readonly spec: LinkSpec,
  ) {
    this.link = new Link({
      node: spec.node,
      onFrame: (frame, bytes) => hub.fromLink(frame, bytes),
      onBounced: (frame, bytes) => hub.bounce(frame, bytes),
    });
    this.transport =
      spec.transport.kind === 'grpc'
        ? new GrpcLinkTransport({ ...spec, heartbeatMs: spec.transport.heartbeatMs, link: this.link })
        : null;
    if (this.transport !== null) this.link.use(this.transport);
    hub.attachLink(this.link);
  }

  /** Where others reach this node; empty: nowhere. */
  get address(): string {
    return this.listenAddress;
  }

  /** The last failure to reach each node. */
  get failures(): ReadonlyMap<NodeName, VectronError> {
    return this.transport?.failures ?? new Map<NodeName, VectronError>();
  }

  async start(): Promise<void> {
    const { transport } = this.spec;
    if (transport.kind !== 'grpc' || transport.listen === null) return;
    assert(this.transport !== null, 'a link of kind grpc has a transport');
    this.listenAddress = await this.transport.listen(transport.listen);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.link.setPeers(peers);
  }

  acceptPort(peer: NodeName, port: MessagePort, faults: FaultCells): void {
    // It reports itself to the link, which holds on to it.
    new PortConnection(peer, port, faults, this.link);
  }
}
