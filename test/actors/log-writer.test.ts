import { LogWriter, type LogWriterOptions } from '../../src/actors/log-writer';
import { MemberLog } from '../../src/actors/raft-member-log';
import {
  clusterId,
  type Incarnation,
  logIndex,
  nodeName,
  type ReplicaId,
  replicaId,
  shardId,
  term,
} from '../../src/base/ids';
import { frameBytesMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import { monotonicMs, wallMs } from '../../src/base/time';
import { encode } from '../../src/protocol/codec';
import { type Address, addressText, at, replicaActor } from '../../src/protocol/envelope';
import { type Message, type MessageKind, type MessageOf, messageCodec } from '../../src/protocol/messages';
import type { Entry, HardState } from '../../src/protocol/raft-messages';
import type { ActorContext, Signal } from '../../src/runtime/actor';
import { entriesFrom } from '../../src/storage/keys';
import { MemoryDisk } from '../../src/storage/memory-disk';

const node = nodeName('machine-1');
const mebibyte = 1024 * 1024;
const descriptor = Uint8Array.of(1);
const entry = (index: number, entryTerm = 1): Entry => ({
  index: logIndex(index),
  term: term(entryTerm),
  type: 'command',
  data: new Uint8Array(100).fill(index),
});
const hard = (commit: number, hardTerm = 1): HardState => ({
  term: term(hardTerm),
  vote: replicaId(0),
  commit: logIndex(commit),
});

/** One machine's log writer, driven by hand: messages are handed over, then turn() runs what was put off. */
class Machine implements ActorContext {
  readonly self = at(node, 'log');
  readonly now = monotonicMs(0);
  readonly wall = wallMs(0);
  readonly random = new Prng(1);
  readonly disk = new MemoryDisk(64);
  readonly sent: { readonly to: string; readonly message: Message }[] = [];
  readonly timers = new Map<string, { readonly delayMs: number; readonly signal: Signal }>();
  private pending: Signal[] = [];
  private writer: LogWriter;

  constructor(private readonly options: Partial<LogWriterOptions> = {}) {
    this.writer = this.startWriter();
  }

  /** A new log writer on the disk as it is. Whoever was before it is fenced. */
  startWriter(): LogWriter {
    this.pending = [];
    this.timers.clear();
    const { disk } = this;
    this.writer = new LogWriter({ engine: disk.openLog(), state: disk.state, stateSyncMs: 1_000, ...this.options });
    this.writer.started(this);
    return this.writer;
  }

  send(to: Address, message: Message): void {
    this.sent.push({ to: addressText(to), message });
  }
  setTimer(key: string, delayMs: number, signal: Signal): void {
    this.timers.set(key, { delayMs, signal });
  }
  cancelTimer(key: string): void {
    this.timers.delete(key);
  }
  later(signal: Signal): void {
    this.pending.push(signal);
  }
  stop(): void {
    throw new Error('the log writer must not stop itself');
  }
  watch(): void {
    throw new Error('the log writer watches nobody');
  }

  tell(replica: number, message: Message): void {
    this.writer.receive(message, at(node, replicaActor(replicaId(replica))), this);
  }

  turn(): void {
    const signals = this.pending;
    this.pending = [];
    for (const signal of signals) this.writer.signalled(signal, this);
  }

  fireTimer(): void {
    const timer = this.timers.get('truncate');
    if (timer === undefined) throw new Error('no timer is set');
    this.timers.clear();
    this.writer.signalled(timer.signal, this);
  }

  /** Takes what was sent so far, all of one kind. */
  take<K extends MessageKind>(kind: K): MessageOf<K>[] {
    const messages = this.sent.splice(0).map(({ message }) => message);
    expect(messages.map((message) => message.kind)).toEqual(messages.map(() => kind));
    return messages as MessageOf<K>[];
  }

  open(replica: number, spec = descriptor): MessageOf<'log.opened'> {
    this.tell(replica, { kind: 'log.open', replica: replicaId(replica), descriptor: spec });
    this.turn();
    const [opened] = this.take('log.opened');
    if (opened === undefined) throw new Error('log.open was not answered');
    return opened;
  }

  append(replica: number, incarnation: Incarnation, write: number, entries: Entry[], hardState = hard(0)): void {
    this.tell(replica, { kind: 'log.append', replica: replicaId(replica), incarnation, write, hardState, entries });
  }

  /** `peer/2` is to hear, once the write is durable, that the member has the entry of the write's number. */
  promise(replica: number, incarnation: Incarnation, write: number): void {
    const header = { from: replicaId(replica), to: replicaId(2) };
    const answer = { rejected: false, index: logIndex(write), hintIndex: logIndex(0), hintTerm: term(0) };
    const message = { kind: 'appendResponse', ...header, term: term(1), ...answer } as const;
    const epoch = { version: 1, confVersion: 1 };
    const promise = { cluster: clusterId('c'), shard: shardId(1), epoch, ...header, message };
    const to = at(nodeName('peer'), '2');
    this.tell(replica, { kind: 'log.promise', replica: replicaId(replica), incarnation, write, to, promise });
  }

  truncate(replica: number, incarnation: Incarnation, index: number): void {
    const id: ReplicaId = replicaId(replica);
    this.tell(replica, { kind: 'log.truncate', replica: id, incarnation, index: logIndex(index), term: term(1) });
  }

  entryCount(replica: number): number {
    return this.disk.log.range({ ...entriesFrom(replicaId(replica), logIndex(0)), countMax: 1_000 }).length;
  }
}

describe('log writer', () => {
  test('a log longer than any frame is opened in parts that each fit one', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    const large = (index: number): Entry => ({ ...entry(index), data: new Uint8Array(4 * mebibyte).fill(index) });
    const written = Array.from({ length: 20 }, (_, i) => large(i + 1));
    written.forEach((each, i) => {
      machine.append(1, incarnation, i + 1, [each]);
      machine.turn();
    });
    machine.sent.length = 0;
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    machine.turn();
    const log = new MemberLog(replicaId(1), descriptor, at(node, 'log'));
    const parts = machine.sent.splice(0).map(({ message }) => message);
    for (const part of parts) expect(encode(messageCodec, part).length).toBeLessThan(frameBytesMax / 4);
    for (const part of parts) if (part.kind === 'log.openedEntries') log.openedAhead(part);
    const last = parts[parts.length - 1];
    if (last?.kind !== 'log.opened') throw new Error(`the last part is ${last?.kind}`);
    const brief = ({ index, data }: Entry): string => `${index}: ${data.length} bytes of ${data[0]}`;
    expect(log.assembled(last).entries.map(brief)).toEqual(written.map(brief));
  });

  test('one sync serves the appends of many replicas, each answered once with its last write', () => {
    const machine = new Machine();
    const incarnations = Array.from({ length: 50 }, (_, i) => machine.open(i + 1).incarnation);
    const before = machine.disk.log.counts.syncs;
    incarnations.forEach((incarnation, i) => {
      machine.append(i + 1, incarnation, 1, [entry(1)]);
      machine.append(i + 1, incarnation, 2, [entry(2), entry(3)]);
    });
    expect(machine.sent).toEqual([]);
    machine.turn();
    expect(machine.disk.log.counts.syncs - before).toBe(1);
    const appended = machine.take('log.appended');
    expect(appended.map(({ replica, write }) => [replica, write])).toEqual(incarnations.map((_, i) => [i + 1, 2]));
    machine.disk.crash(new Prng(1));
    machine.startWriter();
    expect(machine.open(17).entries.map(({ index }) => index)).toEqual([1, 2, 3]);
  });

  test('opens of one turn share a sync too', () => {
    const machine = new Machine();
    const before = machine.disk.log.counts.syncs;
    for (let i = 1; i <= 20; i++) machine.tell(i, { kind: 'log.open', replica: replicaId(i), descriptor });
    machine.turn();
    expect(machine.disk.log.counts.syncs - before).toBe(1);
    expect(machine.take('log.opened').every(({ outcome }) => outcome === 'ready')).toBe(true);
  });

  test('a batch is bounded by bytes and by count', () => {
    const machine = new Machine({ batchBytesMax: 250, batchCountMax: 5 });
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1), entry(2)]);
    expect(machine.sent).toEqual([]);
    machine.append(1, incarnation, 2, [entry(3)]);
    expect(machine.take('log.appended')).toMatchObject([{ write: 2 }]);
    for (let write = 3; write <= 7; write++) machine.append(1, incarnation, write, []);
    expect(machine.take('log.appended')).toMatchObject([{ write: 7 }]);
    machine.turn();
    expect(machine.sent).toEqual([]);
  });

  test('open is a barrier: queued writes of the replica vanish, later ones of the old incarnation are ignored', () => {
    const machine = new Machine();
    const old = machine.open(1);
    const other = machine.open(2);
    machine.append(1, old.incarnation, 1, [entry(1)]);
    machine.turn();
    machine.take('log.appended');
    machine.append(1, old.incarnation, 2, [entry(2)]);
    machine.append(2, other.incarnation, 1, [entry(1)]);
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    machine.append(1, old.incarnation, 3, [entry(2, 5)]);
    machine.turn();
    const [opened, appended] = machine.sent.splice(0).map(({ message }) => message);
    expect(opened).toMatchObject({ kind: 'log.opened', outcome: 'ready', incarnation: old.incarnation + 1 });
    expect((opened as MessageOf<'log.opened'>).entries).toHaveLength(1);
    expect(appended).toMatchObject({ kind: 'log.appended', replica: 2 });
    expect(machine.open(1)).toMatchObject({ incarnation: old.incarnation + 2 });
    expect(machine.entryCount(1)).toBe(1);
  });

  test('a write of an older incarnation is ignored even when its number is the next one', () => {
    const machine = new Machine();
    const old = machine.open(1).incarnation;
    const { incarnation } = machine.open(1);
    machine.append(1, old, 1, [entry(1, 9)], hard(0, 9));
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.turn();
    expect(machine.take('log.appended')).toMatchObject([{ incarnation, write: 1 }]);
    expect(machine.open(1).entries).toMatchObject([{ index: 1, term: 1 }]);
  });

  test('a promise leaves with the sync of its write, ahead of the answer, and at once when that is on disk', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.promise(1, incarnation, 1);
    machine.disk.log.hook = () => {
      expect(machine.sent).toEqual([]);
    };
    const before = machine.disk.log.counts.syncs;
    machine.turn();
    expect(machine.disk.log.counts.syncs - before).toBe(1);
    const sent = machine.sent.splice(0);
    expect(sent.map(({ to, message }) => [to, message.kind])).toEqual([
      ['peer/2', 'peer.raft'],
      ['machine-1/replica/1', 'log.appended'],
    ]);
    expect(sent[0]?.message).toMatchObject({ from: 1, to: 2, message: { kind: 'appendResponse', index: 1 } });
    machine.promise(1, incarnation, 1);
    machine.turn();
    expect(machine.take('peer.raft')).toHaveLength(1);
    expect(machine.disk.log.counts.syncs - before).toBe(1);
  });

  test('a promise of a write that was not taken, of an older incarnation or before a failed sync is not kept', () => {
    const machine = new Machine();
    const old = machine.open(1).incarnation;
    machine.append(1, old, 1, [entry(1)]);
    machine.promise(1, old, 1);
    const { incarnation } = machine.open(1);
    machine.promise(1, old, 0);
    machine.promise(1, incarnation, 1);
    machine.turn();
    expect(machine.sent).toEqual([]);
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.promise(1, incarnation, 1);
    machine.disk.log.hook = () => {
      throw new Error('EIO');
    };
    machine.turn();
    expect(machine.take('log.poisoned').length).toBeGreaterThan(0);
    machine.promise(1, incarnation, 1);
    machine.turn();
    expect(machine.take('log.poisoned')).toHaveLength(1);
  });

  test('a promise of what is removed with the same sync is not kept', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    const other = machine.open(2).incarnation;
    for (const [replica, its] of [
      [1, incarnation],
      [2, other],
    ] as const) {
      machine.append(replica, its, 1, [entry(1)]);
      machine.promise(replica, its, 1);
    }
    machine.tell(1, { kind: 'log.remove', replica: replicaId(1) });
    machine.turn();
    const promised = machine.sent.flatMap(({ message }) => (message.kind === 'peer.raft' ? message.from : []));
    expect(promised).toEqual([2]);
  });

  test('incarnations grow across restarts of the writer and of the machine', () => {
    const machine = new Machine();
    const seen = [machine.open(1).incarnation];
    machine.startWriter();
    seen.push(machine.open(1).incarnation);
    machine.disk.crash(new Prng(3));
    machine.startWriter();
    seen.push(machine.open(1).incarnation);
    expect(seen).toEqual([1, 2, 3]);
  });

  test('a lost write ends the session: nothing after it is taken', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.append(1, incarnation, 3, [entry(3)]);
    machine.append(1, incarnation, 4, [entry(2)]);
    machine.turn();
    expect(machine.take('log.poisoned')[0]?.reason).toMatch('write 3 came after write 1');
    expect(machine.open(1).entries).toHaveLength(1);
  });

  test('reset empties the log and moves its base', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1), entry(2), entry(3)]);
    const reset = { replica: replicaId(1), incarnation, write: 2, index: logIndex(2), term: term(4) };
    machine.tell(1, { kind: 'log.reset', ...reset, hardState: hard(2, 4) });
    machine.turn();
    expect(machine.take('log.appended')).toMatchObject([{ write: 2 }]);
    expect(machine.open(1)).toMatchObject({ baseIndex: 2, baseTerm: 4, entries: [], hardState: hard(2, 4) });
    expect(machine.entryCount(1)).toBe(0);
  });

  test('remove leaves a tombstone, also for a replica that was never here', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.tell(1, { kind: 'log.remove', replica: replicaId(1) });
    machine.tell(9, { kind: 'log.remove', replica: replicaId(9) });
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    machine.append(1, incarnation, 2, [entry(2)]);
    machine.turn();
    expect(machine.sent.map(({ message }) => message.kind)).toEqual(['log.removed', 'log.removed', 'log.opened']);
    expect(machine.sent.splice(0).at(-1)?.message).toMatchObject({ outcome: 'removed' });
    machine.startWriter();
    expect(machine.open(9).outcome).toBe('removed');
    expect(machine.entryCount(1)).toBe(0);
  });

  test('lists every replica after what was queued before', () => {
    const machine = new Machine();
    machine.open(2);
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    machine.tell(2, { kind: 'log.remove', replica: replicaId(2) });
    machine.tell(1, { kind: 'log.list', request: 5 });
    const listed = machine.sent.splice(0).at(-1)?.message as MessageOf<'log.listed'>;
    expect(listed.request).toBe(5);
    expect(listed.replicas.map(({ replica, removed }) => [replica, removed])).toEqual([
      [1, false],
      [2, true],
    ]);
    expect(machine.open(3, new Uint8Array(0)).outcome).toBe('unknown');
  });

  test('a log loses its head only after the state store was synced', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(
      1,
      incarnation,
      1,
      [1, 2, 3, 4].map((index) => entry(index)),
      hard(4),
    );
    machine.turn();
    machine.sent.length = 0;
    machine.truncate(1, incarnation, 2);
    machine.truncate(1, incarnation, 3);
    machine.truncate(1, incarnation, 1);
    expect(machine.timers.get('truncate')?.delayMs).toBe(1_000);
    machine.turn();
    expect(machine.entryCount(1)).toBe(4);
    machine.disk.state.hook = () => {
      expect(machine.entryCount(1)).toBe(4);
    };
    machine.fireTimer();
    expect(machine.disk.state.counts.syncs).toBe(1);
    expect(machine.entryCount(1)).toBe(1);
    expect(machine.open(1)).toMatchObject({ baseIndex: 3, baseTerm: 1 });
  });

  test('truncations of an older incarnation and beyond the log do nothing', () => {
    const machine = new Machine();
    const old = machine.open(1).incarnation;
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1), entry(2)], hard(2));
    machine.truncate(1, old, 2);
    machine.truncate(7, incarnation, 1);
    machine.fireTimer();
    machine.truncate(1, incarnation, 3);
    machine.fireTimer();
    expect(machine.entryCount(1)).toBe(2);
  });

  test('a failed state sync truncates nothing and poisons', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1), entry(2)], hard(2));
    machine.turn();
    machine.take('log.appended');
    machine.truncate(1, incarnation, 2);
    machine.disk.state.hook = () => {
      throw new Error('EIO');
    };
    machine.fireTimer();
    machine.disk.state.hook = null;
    expect(machine.entryCount(1)).toBe(2);
    machine.append(1, incarnation, 2, [entry(3)]);
    machine.turn();
    expect(machine.take('log.poisoned')).toHaveLength(1);
  });

  test.each(['write', 'sync'] as const)('after the first failed %s nothing is ever acknowledged again', (operation) => {
    const machine = new Machine();
    const first = machine.open(1).incarnation;
    const second = machine.open(2).incarnation;
    machine.disk.log.hook = (at) => {
      if (at === operation) throw new Error('EIO');
    };
    machine.append(1, first, 1, [entry(1)]);
    machine.append(2, second, 1, [entry(1)]);
    machine.turn();
    expect(machine.sent.map(({ to }) => to)).toEqual(['machine-1/replica/1', 'machine-1/replica/2']);
    expect(machine.take('log.poisoned')).toHaveLength(2);
    machine.disk.log.hook = null;
    machine.append(1, first, 2, [entry(2)]);
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    machine.tell(1, { kind: 'log.list', request: 1 });
    machine.tell(1, { kind: 'log.remove', replica: replicaId(1) });
    machine.turn();
    expect(machine.take('log.poisoned')).toHaveLength(4);
    machine.startWriter();
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    machine.turn();
    expect(machine.take('log.poisoned')).toHaveLength(1);
  });

  test('a replaced writer acknowledges nothing', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.disk.openLog();
    machine.turn();
    expect(machine.take('log.poisoned')).toHaveLength(1);
    expect(machine.entryCount(1)).toBe(0);
  });

  test('a store that lost synced batches opens every log as corrupt', () => {
    const machine = new Machine();
    const { incarnation } = machine.open(1);
    machine.append(1, incarnation, 1, [entry(1)]);
    machine.turn();
    machine.take('log.appended');
    machine.disk.log.loseDurable(1);
    machine.disk.start();
    machine.startWriter();
    machine.tell(1, { kind: 'log.open', replica: replicaId(1), descriptor });
    expect(machine.take('log.opened')).toMatchObject([{ outcome: 'corrupt', entries: [] }]);
    machine.append(1, incarnation, 2, []);
    expect(machine.take('log.poisoned')).toHaveLength(1);
  });

  test.each(Array.from({ length: 30 }, (_, i) => i + 1))(
    'loses nothing acknowledged in a power cut (seed %i)',
    (seed) => {
      powerCuts(new Prng(seed));
    },
  );
});

/** Random appends of several replicas with power cuts at random store operations. */
function powerCuts(random: Prng): void {
  const machine = new Machine();
  const replicas = [1, 2, 3];
  const acknowledged = new Map<number, number>(replicas.map((replica) => [replica, 0]));
  const sessions = new Map<number, { incarnation: Incarnation; write: number; last: number }>();
  for (let i = 0; i < 60; i++) {
    for (const replica of replicas) {
      const session = sessions.get(replica);
      if (session === undefined) {
        const opened = machine.open(replica);
        const last = opened.entries.length;
        expect(last).toBeGreaterThanOrEqual(acknowledged.get(replica) ?? 0);
        sessions.set(replica, { incarnation: opened.incarnation, write: 0, last });
      } else if (random.chance(0.7)) {
        machine.append(replica, session.incarnation, ++session.write, [entry(++session.last)]);
      }
    }
    if (random.chance(0.2)) {
      cutPower(random, machine);
      sessions.clear();
    } else machine.turn();
    for (const { message } of machine.sent.splice(0)) {
      if (message.kind !== 'log.appended') throw new Error(`unexpected ${message.kind}`);
      const session = sessions.get(message.replica);
      if (session?.write === message.write) acknowledged.set(message.replica, session.last);
    }
  }
}

function cutPower(random: Prng, machine: Machine): void {
  const dying = random.pick(['write', 'sync', 'between']);
  machine.disk.log.hook = (operation) => {
    if (operation === dying) throw new Error('power cut');
  };
  machine.turn();
  machine.sent.length = 0;
  machine.disk.log.hook = null;
  machine.disk.crash(random);
  machine.startWriter();
}
