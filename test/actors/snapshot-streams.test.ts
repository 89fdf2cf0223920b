import { describe, expect, it } from '@jest/globals';
import { crc32c } from '../../src/base/crc32c';
import { clusterId, logIndex, replicaId, shardId, term } from '../../src/base/ids';
import { snapshotChunkBytesMax, snapshotChunksAheadMax } from '../../src/base/limits';
import type { MessageOf } from '../../src/protocol/messages';
import type { SnapshotMeta } from '../../src/protocol/raft-messages';
import { configuration, entryAt, ListMachine, MemberBench, peer, self } from './raft-member-doubles';

const hardState = { term: term(3), vote: peer, commit: logIndex(0) };

describe('sending a snapshot', () => {
  type Progress = MessageOf<'peer.snapshotProgress'>;
  const progress = (
    chunk: MessageOf<'peer.snapshotChunk'>,
    received: number,
    state: Progress['state'] = 'streaming',
    durable = 0,
  ): Progress => {
    const { cluster, shard, epoch, stream } = chunk;
    const header = { cluster, shard, epoch, from: peer, to: self };
    return { kind: 'peer.snapshotProgress', ...header, stream, received, durable, state };
  };
  /** Chunks of one byte, of which `windowBytes` may be on their way. */
  const sending = (snapshotWindowBytes: number): { bench: MemberBench; first: MessageOf<'peer.snapshotChunk'> } => {
    const machine = new ListMachine(8, 2);
    machine.chunks = [1, 2, 3, 4, 5, 6].map((n) => Uint8Array.of(n));
    const bench = new MemberBench(machine, { snapshotWindowBytes });
    bench.open({ baseIndex: logIndex(8), baseTerm: term(2) });
    bench.core.lead(term(3));
    bench.core.say({ snapshotTo: [peer] });
    bench.tick();
    const [first] = bench.context.sent.flatMap(({ message }) => (message.kind === 'peer.snapshotChunk' ? message : []));
    if (first === undefined) throw new Error('no chunk was sent');
    return { bench, first };
  };
  const sent = (bench: MemberBench): number[] => bench.context.take('peer.snapshotChunk').map(({ chunk }) => chunk);

  it('keeps a window of bytes on their way, and reports its end', () => {
    const { bench, first } = sending(2);
    const meta = { index: 8, term: 2, configuration };
    expect(first).toMatchObject({ chunk: 0, last: 0, checksum: crc32c(first.data), meta });
    expect(sent(bench)).toEqual([0, 1]);
    bench.hear(progress(first, 1));
    bench.hear(progress(first, 1));
    expect(sent(bench)).toEqual([2]);
    bench.hear(progress(first, 3));
    expect(sent(bench)).toEqual([3, 4]);
    bench.hear(progress(first, 2));
    bench.hear(progress(first, 99));
    expect(sent(bench)).toEqual([]);
    bench.hear(progress(first, 5));
    const [last] = bench.context.take('peer.snapshotChunk');
    expect([last?.chunk, last?.last, [...(last?.data ?? [])]]).toEqual([5, 1, [6]]);
    bench.hear(progress(first, 6, 'installed'));
    expect(bench.core.told).toContain(`snapshotFinished ${peer} true`);
    expect(bench.machine.openSources).toBe(0);
  });

  it('repeats what was not answered, chunk by chunk, and gives up in the end', () => {
    const { bench } = sending(3);
    expect(sent(bench)).toEqual([0, 1, 2]);
    bench.tick(25);
    expect(sent(bench)).toEqual([0]);
    bench.tick(25 * 40);
    expect(bench.core.told).toContain(`snapshotFinished ${peer} false`);
    expect(bench.machine.openSources).toBe(0);
  });

  it('goes on where the receiver stands when the link, or the receiver, is back', () => {
    const { bench, first } = sending(2);
    bench.hear(progress(first, 2));
    bench.hear(progress(first, 4));
    expect(sent(bench)).toEqual([0, 1, 2, 3, 4, 5]);
    bench.hear(progress(first, 2, 'gap'));
    expect(sent(bench)).toEqual([]);
    bench.tick(100);
    expect(new Set(sent(bench))).toEqual(new Set([4]));
    bench.hear(progress(first, 2, 'gap'));
    bench.hear(progress(first, 2, 'gap'));
    expect(sent(bench)).toEqual([2, 3, 2]);
    expect(bench.core.told.filter((told) => told.startsWith('snapshotFinished'))).toEqual([]);
  });

  it('starts over when the receiver has less than is kept', () => {
    const { bench, first } = sending(2);
    bench.hear(progress(first, 2, 'streaming', 2));
    bench.tick(25);
    bench.hear(progress(first, 0, 'gap'));
    expect(bench.core.told).toContain(`snapshotFinished ${peer} false`);
  });

  it('keeps a bounded number of bytes, durable or not', () => {
    const { bench, first } = sending(1);
    for (let received = 1; received <= 5; received++) bench.hear(progress(first, received));
    bench.tick(25);
    bench.hear(progress(first, 1, 'gap'));
    expect(bench.core.told).toContain(`snapshotFinished ${peer} false`);
  });

  it('keeps what is not received yet, whatever is called durable', () => {
    const { bench, first } = sending(3);
    bench.hear(progress(first, 1, 'streaming', 5));
    expect(sent(bench)).toEqual([0, 1, 2, 3]);
    bench.tick(25);
    expect(sent(bench)).toEqual([1]);
  });

  it('ends when the receiver refuses, and when leadership is lost', () => {
    const refused = sending(1);
    refused.bench.hear(progress(refused.first, 0, 'refused'));
    expect(refused.bench.core.told).toContain(`snapshotFinished ${peer} false`);
    const deposed = sending(1);
    Object.assign(deposed.bench.core, { role: 'follower' });
    deposed.bench.tick();
    expect(deposed.bench.machine.openSources).toBe(0);
  });
});

describe('receiving a snapshot', () => {
  const meta = { index: logIndex(50), term: term(3), configuration };
  const chunk = (
    n: number,
    overrides: Partial<MessageOf<'peer.snapshotChunk'>> = {},
  ): MessageOf<'peer.snapshotChunk'> => {
    const data = Uint8Array.of(n);
    const header = { cluster: clusterId('test'), shard: shardId(7), epoch: { version: 1, confVersion: 1 } };
    const body = { meta, stream: 5, chunk: n, last: n === 2 ? 1 : 0, checksum: crc32c(data), data };
    return { kind: 'peer.snapshotChunk', ...header, from: peer, to: self, ...body, ...overrides };
  };
  /** What it answered: chunks it has, and in what state. */
  const answers = (bench: MemberBench): (readonly [number, string])[] =>
    bench.context.take('peer.snapshotProgress').map((one) => [one.received, one.state] as const);

  it('installs it, starts the log after it, and only then says so', () => {
    const bench = new MemberBench().open({ hardState });
    Object.assign(bench.core, { leader: peer });
    bench.hear(chunk(0));
    bench.hear(chunk(0));
    bench.hear(chunk(1));
    expect(answers(bench)).toEqual([
      [1, 'streaming'],
      [1, 'streaming'],
      [2, 'streaming'],
    ]);
    bench.hear(chunk(2));
    expect([bench.machine.restored, answers(bench)]).toEqual([['finish 0,1,2'], []]);
    const [reset] = bench.context.take('log.reset');
    expect(reset).toMatchObject({ index: 50, term: 3, hardState: { term: 3, vote: peer, commit: 50 } });
    bench.hear(chunk(2));
    expect(answers(bench)).toEqual([]);
    bench.durable(reset?.write ?? 0);
    expect(answers(bench)).toEqual([[3, 'installed']]);
    bench.hear(chunk(2));
    expect(answers(bench)).toEqual([[3, 'installed']]);
  });

  it('gives up what is committed and waits to be applied: the snapshot has it', () => {
    const bench = new MemberBench(new ListMachine(), { applyBytesMax: 1 }).open({ hardState });
    bench.core.say({ committed: [1, 2, 3, 4, 5].map((index) => entryAt(index, 1, 50)) });
    bench.tick();
    for (const n of [0, 1, 2]) bench.hear(chunk(n));
    expect(bench.machine.restored).toEqual(['finish 0,1,2']);
    const appliedBefore = bench.machine.slices.length;
    expect(appliedBefore).toBeLessThan(5);
    bench.settle();
    bench.tick(5);
    expect(bench.machine.slices).toHaveLength(appliedBefore);
  });

  it('drops a damaged chunk, and says what it has of a stream when chunks are missing', () => {
    const bench = new MemberBench().open();
    bench.hear(chunk(0, { checksum: 1 }));
    expect(answers(bench)).toEqual([]);
    bench.hear(chunk(1));
    expect(answers(bench)).toEqual([[0, 'gap']]);
    bench.hear(chunk(0));
    bench.hear(chunk(2));
    expect(answers(bench)).toEqual([
      [1, 'streaming'],
      [1, 'gap'],
    ]);
    expect(bench.machine.restored).toEqual([]);
  });

  it('never takes one that is older than its log', () => {
    const committed = new MemberBench().open();
    Object.assign(committed.core, { commitIndex: logIndex(50) });
    committed.hear(chunk(0));
    const matching = new MemberBench().open();
    matching.core.terms.set(logIndex(50), term(3));
    matching.hear(chunk(0));
    expect([answers(committed), answers(matching)]).toEqual([[[0, 'refused']], [[0, 'refused']]]);
    expect(committed.machine.restored).toEqual([]);
  });

  it('keeps chunks that come before their time', () => {
    const bench = new MemberBench().open({ hardState });
    for (const n of [0, 2, 2]) bench.hear(chunk(n));
    expect(answers(bench)).toEqual([
      [1, 'streaming'],
      [1, 'gap'],
      [1, 'gap'],
    ]);
    bench.hear(chunk(1));
    expect(bench.machine.restored).toEqual(['finish 0,1,2']);
  });

  it.each<[string, Partial<MessageOf<'peer.snapshotChunk'>>]>([
    ['empty, but not the only one', { data: new Uint8Array(0), checksum: 0 }],
    ['larger than any', { data: new Uint8Array(snapshotChunkBytesMax + 1) }],
  ])('drops a chunk that no sender makes: %s', (_, overrides) => {
    const bench = new MemberBench().open();
    const { data = Uint8Array.of(0) } = overrides;
    bench.hear(chunk(0, { ...overrides, checksum: crc32c(data) }));
    expect(answers(bench)).toEqual([]);
    bench.hear(chunk(0));
    expect(answers(bench)).toEqual([[1, 'streaming']]);
  });

  it('keeps a bounded number of chunks that come before their time', () => {
    const bench = new MemberBench().open();
    bench.hear(chunk(0));
    for (let n = 2; n < 5_000; n++) bench.hear(chunk(n, { last: 0 }));
    bench.hear(chunk(2 ** 53 - 1, { last: 0 }));
    expect(bench.member.chunksAhead).toBe(snapshotChunksAheadMax);
  });

  it.each<[string, Partial<SnapshotMeta>]>([
    ['a term out of reach', { term: term(2 ** 53 - 1) }],
    ['an index out of reach', { index: logIndex(2 ** 53 - 1) }],
    ['an older term than what is committed', { term: term(2) }],
    ['no voters', { configuration: { ...configuration, voters: [] } }],
    ['a voter named twice', { configuration: { ...configuration, voters: [self, self, peer] } }],
    ['a voter that learns', { configuration: { ...configuration, learners: [peer] } }],
  ])('takes none that has %s', (_, lie) => {
    const bench = new MemberBench().open();
    Object.assign(bench.core, { commitIndex: logIndex(9) });
    bench.core.terms.set(logIndex(9), term(3));
    const data = Uint8Array.of(0);
    bench.hear(chunk(0, { meta: { ...meta, ...lie }, last: 1, data }));
    expect([bench.machine.restored, bench.member.state]).toEqual([[], 'running']);
    expect(bench.core.told.filter((told) => told.startsWith('restore'))).toEqual([]);
    bench.hear(chunk(0, { last: 1, data }));
    expect(bench.machine.restored).toEqual(['finish 0']);
  });

  it('takes none from one that has seen fewer changes of the group than itself', () => {
    const bench = new MemberBench().open();
    for (const epoch of [
      { version: 1, confVersion: 0 },
      { version: 0, confVersion: 9 },
    ])
      bench.hear(chunk(0, { epoch }));
    expect([answers(bench), bench.machine.restored]).toEqual([[], []]);
    bench.hear(chunk(0, { epoch: { version: 2, confVersion: 1 } }));
    expect(answers(bench)).toEqual([[1, 'streaming']]);
  });

  it('takes none while it leads', () => {
    const bench = new MemberBench().open();
    bench.core.lead(term(3));
    bench.hear(chunk(0, { last: 1 }));
    expect([answers(bench), bench.machine.restored]).toEqual([[[0, 'refused']], []]);
  });

  it('gives up a stream that stops', () => {
    const bench = new MemberBench().open();
    bench.hear(chunk(0));
    bench.tick(1_201);
    expect(bench.machine.restored).toEqual(['abort 0']);
  });

  it('lets a newer stream win, and no late chunk of an older one', () => {
    const bench = new MemberBench().open();
    bench.hear(chunk(0));
    bench.hear(chunk(0, { stream: 6 }));
    bench.hear(chunk(0));
    bench.hear(chunk(0, { stream: 7, from: replicaId(13), meta: { ...meta, index: logIndex(49) } }));
    bench.hear(chunk(1, { stream: 6 }));
    expect(answers(bench)).toEqual([
      [1, 'streaming'],
      [1, 'streaming'],
      [0, 'refused'],
      [0, 'refused'],
      [2, 'streaming'],
    ]);
    expect(bench.machine.restored).toEqual(['abort 0']);
  });

  it('takes no chunk of another snapshot for its own, though it has the number', () => {
    const bench = new MemberBench().open();
    bench.hear(chunk(0));
    bench.hear(chunk(1, { from: replicaId(13) }));
    bench.hear(chunk(1, { meta: { ...meta, index: logIndex(51) } }));
    bench.hear(chunk(1, { meta: { ...meta, term: term(4) } }));
    expect(
      answers(bench)
        .slice(1)
        .map(([, state]) => state),
    ).toEqual(['gap', 'gap', 'gap']);
  });
});
