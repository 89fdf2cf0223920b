import { VectronError } from '../../base/errors';
import { type MonotonicMs, monotonicMs } from '../../base/time';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import { type IndexMemory, leftOf, predictedBytes } from '../../vector/capacity';
import type { AnswerOf, CallOf, CapacityShape, Done, MachineCapacity } from '../calls';
import { memberAddress } from '../routing-table';
import { askMember, type Core, findCollection, findShards } from './core';

const askMs = 1_000;

/** What so many points would take, and where: of a collection that exists, or of a shape that is thought of. */
export function capacity(
  core: Core,
  call: CallOf<'capacity'>,
  until: MonotonicMs,
  done: Done<AnswerOf<'capacity'>>,
): void {
  const { of, points } = call;
  const fail = (error: VectronError): void => done({ ok: false, error });
  if (typeof of !== 'string')
    return measure(core, until, (memory) => done({ ok: true, answer: spread(points, of, memory) }));
  findCollection(core, of, until, (collection) => {
    if (collection instanceof VectronError) return fail(collection);
    findShards(core, collection, until, (shards) => {
      if (shards instanceof VectronError) return fail(shards);
      measure(core, until, (memory) => done({ ok: true, answer: placed(points, collection, shards, memory) }));
    });
  });
}

type Memory = ReadonlyMap<string, IndexMemory | null>;

/** Of each machine the word of one of its replicas; null: it has none, or none that answers soon. */
function measure(core: Core, until: MonotonicMs, then: (memory: Memory) => void): void {
  const memory = new Map<string, IndexMemory | null>(core.table.peers().map(({ node }) => [node, null]));
  const hosted = core.table.hosted();
  let outstanding = hosted.size;
  if (outstanding === 0) return then(memory);
  for (const [node, { shard, member }] of hosted) {
    askMember(core, shard, memberAddress(member), {
      until: monotonicMs(Math.min(until, core.scope.now + askMs)),
      attemptMs: askMs,
      message: (header) => ({ kind: 'data.memory', ...header }),
      done: (outcome) => {
        const reply = outcome.kind === 'answered' && outcome.reply.kind === 'data.memoryReply' ? outcome.reply : null;
        memory.set(node, reply);
        if (--outstanding === 0) then(memory);
      },
    });
  }
}

function spread(points: number, { replicationFactor, ...shape }: CapacityShape, memory: Memory): AnswerOf<'capacity'> {
  const bytes = predictedBytes({ points, ...shape });
  const share = memory.size === 0 ? 0 : Math.min(1, replicationFactor / memory.size);
  return answerOf(bytes, replicationFactor, memory, () => share);
}

function placed(
  points: number,
  { dimension, hnsw, replicationFactor, storage }: CollectionRecord,
  shards: readonly ShardRecord[],
  memory: Memory,
): AnswerOf<'capacity'> {
  const bytes = predictedBytes({ points, dimension, m: hnsw.m, ...storage });
  const has = (shard: ShardRecord, node: string): boolean => shard.members.some((member) => member.node === node);
  const shareOf = (node: string): number => shards.filter((shard) => has(shard, node)).length / shards.length;
  return answerOf(bytes, replicationFactor, memory, shareOf);
}

function answerOf(
  bytes: number,
  replicationFactor: number,
  memory: Memory,
  shareOf: (node: string) => number,
): AnswerOf<'capacity'> {
  const machines = [...memory]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([node, held]): MachineCapacity => {
      const measured = held === null ? null : { bytes: held.bytes, bytesMax: held.bytesMax, leftBytes: leftOf(held) };
      return { node, measured, predictedBytes: Math.ceil(bytes * shareOf(node)) };
    });
  const hasRoom = ({ measured, predictedBytes: more }: MachineCapacity): boolean =>
    more === 0 || (measured !== null && measured.leftBytes >= more);
  const fits = machines.length >= replicationFactor && machines.every(hasRoom);
  return { predictedBytes: bytes, predictedBytesTotal: bytes * replicationFactor, machines, fits };
}
