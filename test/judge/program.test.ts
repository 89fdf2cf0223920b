import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../repo/support/files';

it('the judge passes its own tests, which are Go', () => {
  const run = [join(root, 'scripts', 'run.mjs'), 'judge', '--test'];
  const { status, stdout, stderr } = spawnSync(process.execPath, run, { cwd: root, encoding: 'utf8' });
  expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, output: '' });
}, 180_000);
