import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Service = 'dev' | 'pd' | 'worker' | 'gateway';
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a service's settings may lie, the strongest first; the last is what Vectron ships (DESIGN D15). */
export const envFilesOf = (service: Service): string[] => [
  `.env.${service}`,
  `${service}.env`,
  join('env', `${service}.env`),
  join('config', `${service}.env`),
];

/**
 * The settings of a service: the first of the env files of one's own that exists, under the process environment, which
 * wins unless VECTRON_ENV_OVERRIDE is set. The shipped defaults lie under both.
 */
export function loadEnvironment(service: Service, directory: string, processEnvironment: Environment): Environment {
  const files = envFilesOf(service).map((file) => join(directory, file));
  const shipped = readIfThere(files.pop() as string);
  const own = files.find((file) => existsSync(file));
  const fromFile = own === undefined ? {} : readIfThere(own);
  const override = (processEnvironment['VECTRON_ENV_OVERRIDE'] ?? '') !== '';
  return override
    ? { ...shipped, ...processEnvironment, ...fromFile }
    : { ...shipped, ...fromFile, ...processEnvironment };
}

const readIfThere = (file: string): Record<string, string> =>
  existsSync(file) ? parseEnvFile(readFileSync(file, 'utf8')) : {};

/** `NAME=value` lines; `#` opens a comment line; quotes around a value are dropped. */
export function parseEnvFile(content: string): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const line of content.split('\n')) {
    const match = /^\s*([A-Z][A-Z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match === null) continue;
    const [, name, value] = match as unknown as [string, string, string];
    settings[name] = /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value;
  }
  return settings;
}
