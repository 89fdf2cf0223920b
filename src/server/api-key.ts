import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { VectronError } from '../base/errors';

/** Keys of a file, one a line. A file that is missing is made, with one new key that only its owner can read. */
export function readApiKeys(file: string): [string, ...string[]] {
  if (!existsSync(file)) {
    writeFileSync(file, `vk_${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    chmodSync(file, 0o600);
  }
  const [first, ...others] = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (first === undefined) throw new VectronError('FAILED_PRECONDITION', `${file} holds no API key`);
  return [first, ...others];
}
