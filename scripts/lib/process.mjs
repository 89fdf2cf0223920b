import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import Module from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Problem } from './say.mjs';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * Runs a command in the project's root. `quiet` holds its output back and shows it only when the command fails.
 * Resolves with the exit code and, when quiet, the output; `check` turns a failure into a Problem.
 */
export function run(command, args, { quiet = false, check = true, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'];
    const child = spawn(command, args, { cwd: root, stdio, env: { ...process.env, ...env } });
    const chunks = [];
    child.stdout?.on('data', (chunk) => chunks.push(chunk));
    child.stderr?.on('data', (chunk) => chunks.push(chunk));
    child.on('error', (error) => reject(new Problem(`cannot run ${command}: ${error.message}`)));
    child.on('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString();
      if (code === 0 || !check) return resolve({ code: code ?? 1, output });
      if (quiet) process.stderr.write(output);
      reject(new Problem(`${[command, ...args].join(' ')} failed (${signal ?? `exit code ${code}`})`));
    });
  });
}

/** Becomes the given program: same process, so that signals, exit code and terminal are its own. */
export function runMain(path, args) {
  const file = join(root, path);
  if (!existsSync(file)) throw new Problem(`${path} does not exist`);
  process.argv = [process.argv[0], file, ...args];
  Module.runMain();
}
