import { existsSync, writeFileSync } from 'node:fs';

/** The calling thread's own name in Linux; other systems have no such file. */
const nameFile = '/proc/thread-self/comm';
const nameLengthMax = 15;

/** Names the calling thread, for `top -H`, debuggers and measurements. Without effect where the system has no file for it. */
export function nameThread(name: string): void {
  if (existsSync(nameFile)) writeFileSync(nameFile, name.slice(0, nameLengthMax));
}
