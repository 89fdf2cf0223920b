import { indexedValuesMax } from '../../base/limits';
import type { Scalar } from '../../protocol/filters';
import { hasWords } from '../filter-match';
import { Bits } from './bits';
import type { Between, FieldIndex, KeyTest } from './field-index';
import { Posting } from './posting';
import { Presence } from './presence';

interface Term {
  readonly value: string | boolean;
  readonly code: number;
  readonly posting: Posting;
}

/** Beyond so many different texts, words and prefixes are not looked up in them: reading the payloads costs less. */
const scannedTermsMax = 8_192;
/** About what a different value takes beyond its characters and its slots. */
const termBytes = 160;

/**
 * Payload index of texts (`keyword`) or of true and false (`bool`): for each different value the slots that have it. A slot's
 * values are kept as numbers, so that they can be taken back when it changes.
 */
export class CodedIndex implements FieldIndex {
  private readonly terms = new Map<string | boolean, Term>();
  private readonly byCode: (Term | undefined)[] = [];
  private readonly freeCodes: number[] = [];
  private readonly presence = new Presence();
  /** The first code of each slot, plus one; 0: none. Any further ones are in `more`. */
  private first = new Uint32Array(64);
  private readonly more = new Map<number, readonly number[]>();
  private postingBytes = 0;
  private textBytes = 0;

  /** `textLengthMax`: longer texts are not kept, as no filter can name them. */
  constructor(
    readonly type: 'keyword' | 'bool',
    private readonly textLengthMax: number,
  ) {}

  get bytes(): number {
    const { presence, first, more, terms } = this;
    return (
      presence.bytes + first.byteLength + more.size * 96 + terms.size * termBytes + this.textBytes + this.postingBytes
    );
  }

  set(slot: number, values: readonly unknown[]): void {
    this.forget(slot);
    const kept = values.filter((value) => this.keeps(value)) as (string | boolean)[];
    const different = [...new Set(kept)];
    const codes = different.slice(0, indexedValuesMax).map((value) => this.add(value, slot));
    if (codes[0] !== undefined) this.remember(slot, codes);
    const hasLeft =
      codes.length < different.length || values.some((value) => this.isOfType(value) && !this.keeps(value));
    this.presence.set(slot, values, kept.length, hasLeft);
  }

  remove(slot: number): void {
    this.forget(slot);
    this.presence.remove(slot);
  }

  between(test: KeyTest, all: Bits): Between | null {
    switch (test.kind) {
      case 'any':
        return this.ofValues(test.values);
      case 'except':
        return this.presence.withOthers(this.outside(new Set(test.values)));
      case 'prefix':
        return this.ofTexts((text) => text.startsWith(test.text));
      case 'text':
        return this.ofTexts((text) => hasWords(text, test.text));
      default:
        return this.presence.between(test, all);
    }
  }

  estimate(test: KeyTest): number | null {
    if (test.kind !== 'any') return null;
    return test.values.reduce((sum: number, value) => sum + (this.termOf(value)?.posting.count ?? 0), 0);
  }

  private isOfType(value: unknown): boolean {
    return typeof value === (this.type === 'bool' ? 'boolean' : 'string');
  }

  private keeps(value: unknown): value is string | boolean {
    return this.isOfType(value) && (typeof value !== 'string' || value.length <= this.textLengthMax);
  }

  private ofValues(values: readonly Scalar[]): Between {
    const passing = new Bits(this.first.length);
    for (const value of values) this.termOf(value)?.posting.addTo(passing);
    const isOwn = values.every((value) => this.isOfType(value));
    return isOwn ? this.presence.withLeft(passing) : this.presence.withOthers(passing);
  }

  private ofTexts(passes: (text: string) => boolean): Between | null {
    if (this.type === 'bool' || this.terms.size > scannedTermsMax) return null;
    return this.presence.withLeft(this.passing((value) => passes(value as string)));
  }

  private outside(values: ReadonlySet<Scalar>): Bits {
    return this.passing((value) => !values.has(value));
  }

  private passing(passes: (value: string | boolean) => boolean): Bits {
    const found = new Bits(this.first.length);
    for (const { value, posting } of this.terms.values()) if (passes(value)) posting.addTo(found);
    return found;
  }

  private termOf(value: Scalar): Term | undefined {
    return typeof value === 'number' ? undefined : this.terms.get(value);
  }

  private add(value: string | boolean, slot: number): number {
    const term = this.terms.get(value) ?? this.newTerm(value);
    const before = term.posting.bytes;
    term.posting.add(slot, this.first.length);
    this.postingBytes += term.posting.bytes - before;
    return term.code;
  }

  private newTerm(value: string | boolean): Term {
    const code = this.freeCodes.pop() ?? this.byCode.length;
    const term = { value, code, posting: new Posting() };
    this.terms.set(value, term);
    this.byCode[code] = term;
    this.postingBytes += term.posting.bytes;
    this.textBytes += typeof value === 'string' ? 2 * value.length : 0;
    return term;
  }

  private remember(slot: number, codes: readonly number[]): void {
    if (slot >= this.first.length) {
      const grown = new Uint32Array(Math.ceil((slot + 1) * 1.5));
      grown.set(this.first);
      this.first = grown;
    }
    this.first[slot] = (codes[0] as number) + 1;
    if (codes.length > 1) this.more.set(slot, codes.slice(1));
  }

  private forget(slot: number): void {
    const first = this.first[slot] ?? 0;
    if (first === 0) return;
    for (const code of [first - 1, ...(this.more.get(slot) ?? [])]) this.drop(this.byCode[code] as Term, slot);
    this.first[slot] = 0;
    this.more.delete(slot);
  }

  private drop({ value, code, posting }: Term, slot: number): void {
    const before = posting.bytes;
    posting.remove(slot);
    this.postingBytes += posting.bytes - before;
    if (posting.count > 0) return;
    this.postingBytes -= posting.bytes;
    this.textBytes -= typeof value === 'string' ? 2 * value.length : 0;
    this.terms.delete(value);
    this.byCode[code] = undefined;
    this.freeCodes.push(code);
  }
}
