import { parseArgs } from 'node:util';

/** A flag by its default: a number, a text, a list of numbers, or false for a switch. */
export type Default = number | string | false | readonly number[];
type Parsed<D extends Default> = D extends number
  ? number
  : D extends string
    ? string
    : D extends false
      ? boolean
      : readonly number[];

/**
 * What a bench was asked for: `--name value`, or `--name` alone for a switch. What is not named has its default; a flag that
 * is unknown, or a number that is none, throws with the flag's name.
 *
 *   const { kills, data, settle } = optionsOf(process.argv.slice(2), { kills: 20, data: '', settle: false });
 */
export function optionsOf<const T extends Readonly<Record<string, Default>>>(
  argv: readonly string[],
  defaults: T,
): { readonly [K in keyof T]: Parsed<T[K]> } {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, { type: value === false ? 'boolean' : 'string' } as const]),
  );
  const { values } = parseArgs({ args: [...argv], options });
  const read = Object.entries(defaults).map(([name, value]) => [name, parsed(name, value, values[name])]);
  return Object.fromEntries(read);
}

function parsed(name: string, byDefault: Default, given: unknown): unknown {
  if (given === undefined || typeof given === 'boolean') return given ?? byDefault;
  const text = String(given);
  if (typeof byDefault === 'string') return text;
  return typeof byDefault === 'number' ? numberOf(name, text) : text.split(',').map((each) => numberOf(name, each));
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new Error(`--${name} takes a number, not '${text}'`);
  return value;
}
