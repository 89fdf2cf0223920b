import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { decodePositions, encodePositions } from '../../src/protocol/public-api';

function rootOf(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : rootOf(dirname(directory));
}

test('the committed codecs are what the .proto file says', () => {
  const script = join(rootOf(__dirname), 'scripts/generate-proto.mjs');
  expect(() => execFileSync(process.execPath, [script, '--check'], { stdio: 'pipe' })).not.toThrow();
});

test('positions survive their bitmap', () => {
  for (const positions of [[], [0], [7, 8], [0, 1, 4_095], Array.from({ length: 300 }, (_, i) => i * 13)]) {
    expect(decodePositions(encodePositions(positions))).toEqual(positions);
  }
  expect(encodePositions([4_095]).length).toBe(512);
});
