import { existsSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { isAlive } from './lock.mjs';
import { root } from './process.mjs';
import { Problem } from './say.mjs';

/** Wipes the data directory of `npm start`, unless a cluster runs on it or it may be somebody else's folder. */
export function resetData(directory = dataDirectory()) {
  if (!existsSync(directory)) return console.error(`vectron: nothing to wipe, ${directory} does not exist`);
  const runner = runningCluster(directory);
  if (runner !== null) throw new Problem(`a cluster runs on ${directory} (process ${runner}); stop it first`);
  if (!isOurs(directory))
    throw new Problem(`${directory} does not look like a data directory of Vectron; nothing was removed`);
  rmSync(directory, { recursive: true });
  console.error(`vectron: wiped ${directory}`);
}

/** The process id in `cluster.json`, which a cluster writes when it starts, if that process lives; else null. */
export function runningCluster(directory) {
  const file = join(directory, 'cluster.json');
  if (!existsSync(file)) return null;
  const { pid } = JSON.parse(readFileSync(file, 'utf8'));
  return Number.isInteger(pid) && isAlive(pid) ? pid : null;
}

function isOurs(directory) {
  const holds = (inner) => `${inner}${sep}`.startsWith(`${directory}${sep}`) || directory === sep;
  if (holds(root) || holds(homedir())) return false;
  return (
    directory === join(root, 'data') || ['cluster.json', 'api-key'].some((name) => existsSync(join(directory, name)))
  );
}

/** As the server finds it (DESIGN D15): the first env file that exists, under the process environment. */
function dataDirectory() {
  const files = ['.env.dev', 'dev.env', 'env/dev.env', 'config/dev.env'].map((file) => join(root, file));
  const file = files.find((each) => existsSync(each));
  const fromFile = file === undefined ? undefined : settingIn(readFileSync(file, 'utf8'), 'VECTRON_DATA_DIR');
  const fromProcess = process.env.VECTRON_DATA_DIR;
  const override = (process.env.VECTRON_ENV_OVERRIDE ?? '') !== '';
  return resolve(root, (override ? fromFile || fromProcess : fromProcess || fromFile) || 'data');
}

const settingIn = (content, name) =>
  new RegExp(`^\\s*${name}\\s*=\\s*["']?([^"'\\n]*?)["']?\\s*$`, 'm').exec(content)?.[1];
