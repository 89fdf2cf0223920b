import type { ClusterId, WorkerId } from '../base/ids';
import type { PlacementMachine } from '../placement/machine';
import type { Failure } from '../protocol/data-messages';
import type { Address } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import { failure, type PlacementRequest } from '../runtime/refusal';

/** Of those that name a worker: 0 is one that has no id yet, or the gateways. */
const anonymousKinds: ReadonlySet<string> = new Set<Message['kind']>(['pd.registerWorker', 'pd.watch']);

/** What is wrong with the sender, or null. */
export function objectionTo(
  message: MessageOf<PlacementRequest>,
  from: Address,
  cluster: ClusterId,
  machine: PlacementMachine,
): Failure | null {
  if (!('cluster' in message)) return null;
  if (message.cluster !== cluster) {
    return failure('FAILED_PRECONDITION', `this is cluster ${cluster}, not ${message.cluster}`);
  }
  if (message.kind === 'pd.watch' && message.fromRevision > machine.revision) {
    const { fromRevision } = message;
    return failure('FAILED_PRECONDITION', `revision ${fromRevision} is ahead of ${machine.revision}`);
  }
  if (!('worker' in message)) return null;
  const isAnonymous = message.worker === 0 && anonymousKinds.has(message.kind);
  return isAnonymous ? null : objectionToWorker(message, message.worker, from, machine);
}

function objectionToWorker(message: Message, id: WorkerId, from: Address, machine: PlacementMachine): Failure | null {
  const worker = machine.worker(id);
  const isRegistration = message.kind === 'pd.registerWorker';
  if (worker === null) {
    return failure(isRegistration ? 'FAILED_PRECONDITION' : 'NOT_FOUND', `worker ${id} is unknown`);
  }
  const isSameStore = !isRegistration || worker.storeIncarnation === message.storeIncarnation;
  if (worker.node === from.node && isSameStore) return null;
  return failure('FAILED_PRECONDITION', `worker ${id} is another store, on ${worker.node}`);
}
