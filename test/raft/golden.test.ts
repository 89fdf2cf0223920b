import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Interaction } from './support/interaction';

/** Tests run compiled; the scenarios stay in the source tree. */
const folder = join(process.cwd(), 'test/raft/golden');
const update = process.env['UPDATE_GOLDEN'] === '1';
const scenarios = readdirSync(folder).filter((name) => name.endsWith('.txt'));

/** One that is lost is missed, and one that is new is added here. */
const names = [
  'aba-storage',
  'bytes-in-flight',
  'change-refused',
  'check-quorum',
  'configuration-rolled-back',
  'conflict-hints',
  'election',
  'figure-8',
  'hand-over',
  'hand-over-late',
  'joint',
  'leader-removed',
  'member-added',
  'member-added-by-snapshot',
  'pipelining',
  'pre-vote',
  'proposal-batching',
  'read-index',
  'reads-after-restart',
  'removed-member',
  'restart',
  'single-voter',
  'snapshot',
  'transfer',
];

/** A scenario is comments (#), commands (>) and, below each, what happens. */
function replay(content: string): string {
  const interaction = new Interaction();
  const script = content.split('\n').filter((line) => /^(#|>|$)/.test(line));
  const lines = script.flatMap((line) =>
    line.startsWith('>') ? [line, ...interaction.run(line.slice(1)).map((output) => `  ${output}`)] : [line],
  );
  return lines.join('\n');
}

describe('scripted scenarios happen exactly as recorded (UPDATE_GOLDEN=1 records them anew)', () => {
  it('are all here', () => expect(scenarios.map((name) => name.replace('.txt', '')).sort()).toEqual(names));

  it.each(scenarios)('%s', (name) => {
    const path = join(folder, name);
    const expected = readFileSync(path, 'utf8');
    const actual = replay(expected);
    if (update) writeFileSync(path, actual);
    else expect(actual).toBe(expected);
  });
});
