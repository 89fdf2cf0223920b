import type { TextFile } from './files';
import { isPure } from './layers';
import { blank, lineAt } from './source-text';

/** Each rule takes a file and names its breaches; none holds for every file of the project. */
export type Rule = (file: TextFile) => string[];

export const linesAtMost =
  (most: number): Rule =>
  ({ path, content }) => {
    const lines = content.split('\n').length - 1;
    return lines > most ? [`${path}: ${lines} lines, at most ${most}`] : [];
  };

const findings = (path: string, text: string, pattern: RegExp, what: string): string[] =>
  [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${what} (${match[0].trim()})`);

const ambient =
  /\bDate\s*\.\s*now\b|\bnew\s+Date\b|\bMath\s*\.\s*random\b|\bset(?:Timeout|Interval|Immediate)\b|\bperformance\s*\.|\bqueueMicrotask\b|\bprocess\s*\.|\bcrypto\s*\.|\bglobalThis\b/g;

/** Pure code is handed time and randomness. */
export const noAmbientInPureCode: Rule = ({ path, content }) =>
  isPure(path) ? findings(path, blank(content, 'blank'), ambient, 'pure code reaches its surroundings') : [];

/**
 * Tests wait for a condition with a deadline; how that is done lies in support files. A pause is a bet on the machine's
 * speed, unless it is part of the load and drawn from the seed: test/support/pause.ts.
 */
export const noSleepInTests: Rule = ({ path, content }) =>
  /^test\/.*\.test\.ts$/.test(path)
    ? [
        ...findings(
          path,
          blank(content, 'blank'),
          /(?<!\bjest\s*\.\s*)\b(?:sleep|pause|setTimeout|Atomics\s*\.\s*wait)\s*\(/g,
          'sleeps',
        ),
        ...findings(path, content, /^(?:import|export|const)\b.*['"](?:node:)?timers\/promises['"]/gm, 'sleeps'),
      ]
    : [];

/** Paths of the machine a file was written on: they mean nothing elsewhere. */
export const noMachinePaths: Rule = ({ path, content }) =>
  findings(
    path,
    content,
    /(?<![\w.~])\/(?:root|work|home\/[a-z]\w*|Users\/[A-Za-z]\w*)\/[\w.-]+/g,
    'a path of one machine',
  );

/** What a merge that was not finished leaves. */
export const noConflictMarkers: Rule = ({ path, content }) =>
  findings(path, content, /^(?:<{7}|>{7}) .*$/gm, 'an unfinished merge');

/** Swallowed failures: an empty catch, in the block or in the promise form. */
export const noSwallowedErrors: Rule = ({ path, content }) =>
  path.endsWith('.ts')
    ? findings(
        path,
        blank(content, 'blank'),
        /\bcatch\s*(?:\([^)]*\))?\s*\{\s*\}|\.catch\(\s*\([^)]*\)\s*=>\s*\{\s*\}\s*\)/g,
        'swallows an error',
      )
    : [];
