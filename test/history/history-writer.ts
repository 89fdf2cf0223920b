import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** What was asked of one key. The judge's models say what each means; docs/judge.md has the table. */
export type Invocation = { readonly p: number; readonly k: string } & (
  | { readonly f: 'put'; readonly v: { readonly h: string } }
  | { readonly f: 'cas'; readonly v: { readonly h: string; readonly ifVer: number } }
  | { readonly f: 'cad'; readonly v: { readonly ifVer: number } }
  | { readonly f: 'del' | 'get' | 'scan' }
  | { readonly f: 'insert'; readonly v: string }
  | { readonly f: 'incr'; readonly v: number }
);

export type Answer =
  | { readonly h: string | null; readonly ver?: number }
  | { readonly ver?: number; readonly n?: number }
  | { readonly ok: boolean; readonly ver?: number }
  | readonly string[]
  | null;

/** `fail`: the server guarantees that it was not applied and will not be. `info`: nobody knows. */
export type Ending = { readonly st: 'ok'; readonly o: Answer } | { readonly st: 'fail' | 'info'; readonly err: string };

export interface HistoryMeta {
  readonly model: 'register' | 'set' | 'counter';
  readonly seed: number;
  readonly commit: string;
  /** Which clock, and that all clients share it. */
  readonly clock: string;
}

interface Open {
  readonly id: number;
  readonly invocation: Invocation;
  readonly call: number;
}

/** Where the invocations of a history file stand. */
export const callsFileOf = (file: string): string => `${file.replace(/\.jsonl$/, '')}.calls.jsonl`;

/**
 * Writes down what clients asked and were told, for the judge.
 *
 *  1. An invocation is with the operating system before begin() returns: what was sent is known even if this process dies.
 *  2. Every begun operation gets exactly one line in the history file: by end(), or as unknown by close().
 *  3. Call and return are read from one clock that never goes back; call is taken last before, return first after.
 */
export class HistoryWriter {
  private readonly history: number;
  private readonly calls: number;
  private readonly open = new Map<number, Open>();
  private lastId = 0;
  readonly counts = { ok: 0, fail: 0, info: 0 };

  constructor(
    file: string,
    meta: HistoryMeta,
    /** Nanoseconds, whole. */
    private readonly nowNs: () => number,
  ) {
    mkdirSync(dirname(file), { recursive: true });
    this.history = openSync(file, 'w');
    this.calls = openSync(callsFileOf(file), 'w');
    writeLine(this.history, { meta });
  }

  /** Returns the operation's id. */
  begin(invocation: Invocation): number {
    const id = ++this.lastId;
    const call = this.nowNs();
    const { p, f, k } = invocation;
    writeLine(this.calls, { p, id, f, k, ...asked(invocation), call });
    this.open.set(id, { id, invocation, call });
    return id;
  }

  isOpen(id: number): boolean {
    return this.open.has(id);
  }

  end(id: number, ending: Ending): void {
    const ret = this.nowNs();
    const begun = this.open.get(id);
    if (begun === undefined) throw new Error(`operation ${id} is not open`);
    this.open.delete(id);
    this.counts[ending.st]++;
    const { p, f, k } = begun.invocation;
    writeLine(this.history, { p, id, f, k, ...asked(begun.invocation), call: begun.call, ret, ...ending });
  }

  close(): void {
    for (const id of [...this.open.keys()]) this.end(id, { st: 'info', err: 'no answer before the end' });
    closeSync(this.history);
    closeSync(this.calls);
  }
}

const asked = (invocation: Invocation): object => ('v' in invocation ? { v: invocation.v } : {});

function writeLine(descriptor: number, value: object): void {
  writeSync(descriptor, `${JSON.stringify(value)}\n`);
}
