import { present } from '../../../src/base/assert';
import { type LogIndex, logIndex, type ReplicaId, replicaId, type Term, term } from '../../../src/base/ids';
import { Prng } from '../../../src/base/prng';
import type { Configuration, RaftMessage } from '../../../src/protocol/raft-messages';
import { type CoreTuning, type Snapshot, TestNode } from './group-node';
import { entryText, messageText, stateText, writeText } from './interaction-format';

/**
 * A group that does what a script says and tells all that happens. Commands:
 *
 *   group 3 [learners=4,5] [outgoing=3,4] [electionTicks=10 ...]   starts voters 1..3, and learners
 *   campaign N | tick N [count] | propose N text... | read N context | truncate N index
 *   together N text...                  each word is a proposal, all of them before anything is written or sent
 *   transfer N M        the leader N tells M to campaign at once
 *   hand N M            N is asked to hand leadership over to M
 *   node N...           starts members that know of nobody
 *   change N 1,2,4 [learners=5]   N is asked to change the members; `none` stands for no voters
 *   ask 1>2 TERM last 1@1              2 is asked for its vote as if by 1
 *   inject 1>2 TERM after 1@1 2@1:x ...   2 hears an append as if from a leader 1 of that term
 *   sync N [count]      the oldest writes of N reach its disk
 *   apply N             N applies what was handed to it
 *   deliver [what]      messages on their way arrive; `what` is 1>2, >2, 1> or a kind; all of them without it
 *   drop [what]         they are lost instead
 *   repeat what         they arrive and stay on their way
 *   stream [fail]       snapshots that were asked for are installed, or fail
 *   cut N... | heal     what goes to or from N is lost from now on
 *   crash N | restart N what is not on disk is gone
 *   settle [silently]   delivers, syncs and applies until nothing is left to do
 *   log N | status      entries of N as its core and its disk have them | a line for each member
 */
export class Interaction {
  private readonly nodes = new Map<number, TestNode>();
  private readonly shown = new Map<number, string>();
  private wire: RaftMessage[] = [];
  private streams: Snapshot[] = [];
  private readonly isolated = new Set<number>();
  private tuning: Partial<CoreTuning> = {};
  private lines: string[] = [];
  private silent = false;

  /** The output of one command. */
  run(command: string): string[] {
    this.lines = [];
    const [verb, ...words] = command.split(' ').filter((word) => word !== '');
    const action = this.commands[verb ?? ''];
    if (action === undefined) throw new Error(`unknown command: ${command}`);
    action(words);
    return this.lines;
  }

  private readonly commands: Readonly<Record<string, (words: readonly string[]) => void>> = {
    group: (words) => this.group(words),
    campaign: ([id]) => this.on(id, (node) => node.core.campaign()),
    tick: ([id, count = '1']) => {
      for (let i = 0; i < Number(count); i++) this.on(id, (node) => node.core.tick());
    },
    propose: ([id, ...text]) => this.propose(id, text.join(' ')),
    together: ([id, ...texts]) =>
      this.on(id, (node) => {
        for (const text of texts) node.core.propose(Buffer.from(text));
      }),
    read: ([id, context]) => this.on(id, (node) => node.core.readIndex(Number(context))),
    truncate: ([id, index]) => this.on(id, (node) => node.truncate(logIndex(Number(index)))),
    transfer: ([from, to]) => this.transfer(from, to),
    hand: ([from, to]) =>
      this.on(from, ({ id, core }) => {
        const result = core.transferLeadership(replicaId(Number(to)));
        if (!result.ok) this.say(`${id} refuses: ${result.reason}`);
      }),
    node: (ids) => {
      for (const id of ids) this.nodes.set(Number(id), this.newNode(replicaId(Number(id)), nobody, this.tuning));
    },
    change: ([id, ...words]) => this.change(id, words),
    ask: (words) => this.ask(words),
    inject: (words) => this.inject(words),
    sync: ([id, count = '1']) => {
      for (let i = 0; i < Number(count); i++) this.on(id, (node) => node.sync());
    },
    apply: ([id]) => this.apply(this.node(id)),
    deliver: ([what]) => this.deliver(this.take(what)),
    drop: ([what]) => {
      for (const message of this.take(what)) this.say(`lost ${messageText(message)}`);
    },
    repeat: ([what]) => {
      const messages = this.take(what);
      this.wire.unshift(...messages);
      this.deliver(messages);
    },
    stream: ([how]) => this.stream(how !== 'fail'),
    cut: (ids) => {
      for (const id of ids) this.isolated.add(Number(id));
    },
    heal: () => this.isolated.clear(),
    crash: ([id]) => this.node(id).crash(),
    restart: ([id]) => this.restart(this.node(id)),
    settle: ([how]) => this.settle(how === 'silently'),
    log: ([id]) => this.log(this.node(id)),
    status: () => {
      for (const node of this.nodes.values()) this.say(`${node.id} ${node.up ? stateText(node.core) : 'down'}`);
    },
  };

  private say(line: string): void {
    if (!this.silent) this.lines.push(line);
  }

  private node(id: string | undefined): TestNode {
    return present(this.nodes.get(Number(id)), `node ${id}`);
  }

  // Starting

  private group([count, ...settings]: readonly string[]): void {
    const given = new Map(settings.map((setting) => setting.split('=') as [string, string]));
    const listOf = (name: string): ReplicaId[] =>
      (given.get(name) ?? '').split(',').filter(Boolean).map(Number).map(replicaId);
    const voters = Array.from({ length: Number(count) }, (_, i) => replicaId(i + 1));
    const configuration = { voters, votersOutgoing: listOf('outgoing'), learners: listOf('learners') };
    const tuning: Record<string, number> = {};
    for (const [name, value] of given) if (/Ticks$|Max$/.test(name)) tuning[name] = Number(value);
    this.tuning = tuning;
    for (const id of [...voters, ...configuration.votersOutgoing, ...configuration.learners]) {
      if (!this.nodes.has(id)) this.nodes.set(id, this.newNode(id, configuration, tuning));
    }
  }

  private newNode(id: ReplicaId, configuration: Configuration, tuning: Partial<CoreTuning>): TestNode {
    const node = new TestNode({
      id,
      configuration,
      tuning,
      random: new Prng(id),
      port: {
        send: (message) => this.send(message),
        snapshot: (snapshot) => {
          this.say(`${id} asks for a snapshot to ${snapshot.to}`);
          this.streams.push(snapshot);
        },
        read: (_node, context, index) =>
          this.say(`${id} read ${context} ${index === null ? 'refused' : `at ${index}`}`),
      },
    });
    node.start();
    this.shown.set(id, stateText(node.core));
    return node;
  }

  private restart(node: TestNode): void {
    node.start();
    this.shown.set(node.id, stateText(node.core));
    this.say(`${node.id} starts: ${stateText(node.core)}, log to ${node.core.lastIndex}`);
    this.flush(node);
  }

  // Acting

  private on(id: string | number | undefined, act: (node: TestNode) => void): void {
    const node = this.node(String(id));
    act(node);
    this.flush(node);
  }

  private flush(node: TestNode): void {
    while (node.up && node.core.hasReady()) {
      const ready = node.core.ready();
      if (ready.write > 0) this.say(`${node.id} ${writeText(ready)}`);
      node.perform(ready);
    }
    if (!node.up) return;
    const now = stateText(node.core);
    if (now !== this.shown.get(node.id)) this.say(`${node.id} is ${now}`);
    this.shown.set(node.id, now);
  }

  private propose(id: string | undefined, text: string): void {
    this.on(id, (node) => {
      const result = node.core.propose(Buffer.from(text));
      if (!result.ok) this.say(`${node.id} refuses: ${result.reason}`);
    });
  }

  private change(id: string | undefined, [voters = '', learners = '']: readonly string[]): void {
    const wanted = { voters: idsIn(voters), learners: idsIn(learners.replace('learners=', '')) };
    this.on(id, (node) => {
      const result = node.core.changeMembers(wanted, new Uint8Array(0));
      if (!result.ok) this.say(`${node.id} refuses: ${result.reason}`);
    });
  }

  private transfer(from: string | undefined, to: string | undefined): void {
    const { core, id } = this.node(from);
    this.send({ kind: 'timeoutNow', from: id, to: replicaId(Number(to)), term: core.term });
  }

  private ask([route = '', inTerm, _last, end = '']: readonly string[]): void {
    const [from, to] = routeOf(route);
    const [lastIndex, lastTerm] = positionOf(end);
    const header = { from, to, term: term(Number(inTerm)) };
    this.on(to, (node) => node.core.step({ kind: 'voteRequest', ...header, lastIndex, lastTerm, transfer: false }));
  }

  private inject([route = '', inTerm, _after, previous = '', ...entries]: readonly string[]): void {
    const [from, to] = routeOf(route);
    const [prevIndex, prevTerm] = positionOf(previous);
    const message: RaftMessage = {
      kind: 'appendRequest',
      from,
      to,
      term: term(Number(inTerm)),
      prevIndex,
      prevTerm,
      commit: logIndex(0),
      entries: entries.map((text) => {
        const [index, at] = positionOf(text);
        return { index, term: at, type: 'command', data: Buffer.from(text.split(':')[1] ?? '') };
      }),
    };
    this.on(to, (node) => node.core.step(message));
  }

  private apply(node: TestNode): void {
    for (const entry of node.apply()) this.say(`${node.id} applies ${entryText(entry)}`);
    this.flush(node);
  }

  private log(node: TestNode): void {
    const terms: (Term | null)[] = [];
    for (let at = node.core.baseIndex; at <= node.core.lastIndex; at++) terms.push(node.core.termAt(logIndex(at)));
    this.say(`${node.id} base ${node.core.baseIndex}@${terms[0]} terms [${terms.slice(1).join(' ')}]`);
    const { disk } = node;
    this.say(`${node.id} disk ${disk.baseIndex}@${disk.baseTerm} [${disk.entries.map(entryText).join(', ')}]`);
  }

  // Messages

  private send(message: RaftMessage): void {
    const isLost = this.isolated.has(message.from) || this.isolated.has(message.to);
    this.say(`${isLost ? 'lost ' : ''}${messageText(message)}`);
    if (!isLost) this.wire.push(message);
  }

  private take(what: string | undefined): RaftMessage[] {
    const taken = this.wire.filter((message) => matches(message, what));
    this.wire = this.wire.filter((message) => !taken.includes(message));
    return taken;
  }

  private deliver(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      if (this.nodes.get(message.to)?.up === true) this.on(message.to, (node) => node.core.step(message));
    }
  }

  private stream(ok: boolean): void {
    for (const snapshot of this.streams.splice(0)) {
      const { from, to, meta } = snapshot;
      const isTaken = ok && this.node(String(to)).needs(meta);
      this.say(`${to} ${isTaken ? 'installs' : 'does not install'} the snapshot ${meta.index}@${meta.term} of ${from}`);
      if (isTaken) this.on(to, (node) => node.install(snapshot));
      this.on(from, (node) => node.core.snapshotFinished(to, isTaken));
    }
  }

  private settle(silently: boolean): void {
    this.silent = silently;
    for (let round = 0; round < 1_000; round++) {
      const before = this.work();
      this.deliver(this.take(undefined));
      for (const node of this.nodes.values()) while (node.pending.length > 0) this.on(node.id, (each) => each.sync());
      for (const node of this.nodes.values()) if (node.up) this.apply(node);
      if (before === 0 && this.work() === 0) break;
    }
    this.silent = false;
  }

  private work(): number {
    let count = this.wire.length;
    for (const { pending, toApply } of this.nodes.values()) count += pending.length + toApply.length;
    return count;
  }
}

const nobody: Configuration = { voters: [], votersOutgoing: [], learners: [] };

const idsIn = (list: string): ReplicaId[] => list.split(',').map(Number).filter(Boolean).map(replicaId);

const routeOf = (text: string): [ReplicaId, ReplicaId] =>
  text.split('>').map((id) => replicaId(Number(id))) as [ReplicaId, ReplicaId];

function positionOf(text: string): [LogIndex, Term] {
  const [index, at] = text.split(/[@:]/).map(Number);
  return [logIndex(index ?? 0), term(at ?? 0)];
}

function matches({ from, to, kind }: RaftMessage, what: string | undefined): boolean {
  if (what === undefined || what === kind) return true;
  const [source, target] = what.split('>');
  if (target === undefined) return false;
  return (source === '' || Number(source) === from) && (target === '' || Number(target) === to);
}
