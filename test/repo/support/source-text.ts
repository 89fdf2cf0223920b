/**
 * The source with comments and templates blanked, and, if wanted, strings too. Positions and line breaks stay. Good enough for the rules here: it does not know regular expression literals, whose quotes would mislead it, so a
 * literal that stands where a value begins is skipped as a whole.
 */
export function blank(source: string, strings: 'keep' | 'blank'): string {
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[=(,:;!&|?{}[\n]\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g;
  return source.replace(token, (found) => {
    const comment = found.startsWith('//') || found.startsWith('/*');
    return comment || found.startsWith('`') || strings === 'blank' ? found.replace(/[^\n]/g, ' ') : found;
  });
}

/** Line of a position, the first being 1. */
export const lineAt = (source: string, position: number): number => source.slice(0, position).split('\n').length;

/** What a module imports, exports from, requires or imports dynamically. */
export function importsOf(source: string): string[] {
  const code = blank(source, 'keep');
  const forms = /(?:(?<!['"])\bfrom|\bimport|\brequire\(|\bimport\()\s*(['"])([^'"\n]+)\1/g;
  return [...code.matchAll(forms)].map((match) => match[2] as string);
}
