import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { utf8 } from '../../base/bytes';
import { crc32c } from '../../base/crc32c';
import { VectronError } from '../../base/errors';
import { type ClusterId, clusterId } from '../../base/ids';

/**
 * Whose data a directory holds. `incarnation` is drawn once, when the stores are created, and names this very set of
 * files: a machine whose disk was replaced comes back with another. `ready` false: creation has not finished, so nothing
 * was ever acknowledged from here.
 */
export interface StoreIdentity {
  readonly cluster: ClusterId;
  readonly incarnation: string;
  readonly ready: boolean;
}

const fileName = 'identity.json';
const format = 1;

/** Null if there is none; CORRUPT if it cannot be read. */
export function readIdentity(directory: string): StoreIdentity | null {
  const file = path.join(directory, fileName);
  if (!fs.existsSync(file)) return null;
  const { checksum, ...fields } = parse(file, fs.readFileSync(file, 'utf8'));
  if (checksum !== checksumOf(fields)) throw new VectronError('CORRUPT', `${file} does not have its checksum`);
  const { cluster, incarnation, ready } = fields;
  const known = typeof cluster === 'string' && typeof incarnation === 'string' && typeof ready === 'boolean';
  if (!known || fields['format'] !== format) {
    throw new VectronError('FAILED_PRECONDITION', `${file} was written by another version of Vectron`);
  }
  return { cluster: clusterId(cluster), incarnation, ready };
}

/** Draws an identity for a directory that has none. Of two processes that try, one wins and both return its identity. */
export function createIdentity(directory: string, cluster: ClusterId): StoreIdentity {
  const identity = { cluster, incarnation: randomUUID(), ready: false };
  const draft = writeDraft(directory, identity);
  try {
    fs.linkSync(draft, path.join(directory, fileName));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    fs.unlinkSync(draft);
  }
  syncDirectory(directory);
  return readIdentity(directory) ?? identity;
}

export function markReady(directory: string, identity: StoreIdentity): StoreIdentity {
  const ready = { ...identity, ready: true };
  fs.renameSync(writeDraft(directory, ready), path.join(directory, fileName));
  syncDirectory(directory);
  return ready;
}

/** Makes the names in a directory durable. */
export function syncDirectory(directory: string): void {
  const descriptor = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function writeDraft(directory: string, identity: StoreIdentity): string {
  const fields = { format, ...identity };
  const draft = path.join(directory, `${fileName}.${randomUUID()}`);
  const descriptor = fs.openSync(draft, 'wx');
  try {
    fs.writeFileSync(descriptor, `${JSON.stringify({ ...fields, checksum: checksumOf(fields) })}\n`);
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
  return draft;
}

type Fields = Readonly<Record<string, unknown>>;

const checksumOf = (fields: Fields): number => crc32c(utf8(JSON.stringify(fields)));

function parse(file: string, text: string): Fields {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Fields;
  } catch (cause) {
    throw new VectronError('CORRUPT', `${file} is not JSON`, { cause });
  }
  throw new VectronError('CORRUPT', `${file} is not an object`);
}
