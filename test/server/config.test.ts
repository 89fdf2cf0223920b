import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { VectronError } from '../../src/base/errors';
import {
  type Environment,
  envFilesOf,
  loadEnvironment,
  parseEnvFile,
  type Service,
} from '../../src/server/config/env-files';
import { describeConfig, parseConfig, schemas } from '../../src/server/config/schema';

const services = Object.keys(schemas) as Service[];
const joined = { VECTRON_NODE: 'pd-1', VECTRON_LISTEN: '127.0.0.1:7100', VECTRON_PD: 'pd-1=127.0.0.1:7100' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vectron-config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const put = (file: string, content: string): void => {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), content);
};
const host = (processEnvironment: Environment): string | undefined =>
  loadEnvironment('gateway', folder, processEnvironment)['VECTRON_HOST'];

describe('env files', () => {
  test.each(services)('of %s: the first that exists counts, and it alone but for what is shipped', (service) => {
    const files = envFilesOf(service);
    expect(files).toEqual([`.env.${service}`, `${service}.env`, `env/${service}.env`, `config/${service}.env`]);
    for (const [i, file] of [...files.entries()].reverse()) {
      put(file, `VECTRON_HOST=from-${i}\nONLY_IN_${i}=yes\n`);
      const environment = loadEnvironment(service, folder, {});
      expect(environment['VECTRON_HOST']).toBe(`from-${i}`);
      const others = [0, 1, 2, 3].filter((other) => environment[`ONLY_IN_${other}`] !== undefined);
      expect(others).toEqual(i === 3 ? [3] : [i, 3]);
    }
  });

  test('the process environment wins over files, and files over it with VECTRON_ENV_OVERRIDE', () => {
    put('gateway.env', 'VECTRON_HOST=own\n');
    put('config/gateway.env', 'VECTRON_HOST=shipped\n');
    expect(host({})).toBe('own');
    expect(host({ VECTRON_HOST: 'process' })).toBe('process');
    expect(host({ VECTRON_HOST: 'process', VECTRON_ENV_OVERRIDE: '' })).toBe('process');
    expect(host({ VECTRON_HOST: 'process', VECTRON_ENV_OVERRIDE: '1' })).toBe('own');
  });

  test('what is shipped never wins over anything', () => {
    put('config/gateway.env', 'VECTRON_HOST=shipped\n');
    expect(host({})).toBe('shipped');
    expect(host({ VECTRON_HOST: 'process', VECTRON_ENV_OVERRIDE: '1' })).toBe('process');
  });

  test('comments, blanks, quotes and lines that are no settings', () => {
    const content = '# a comment\n\n A_B = one \nC="two # three"\nD=\'\'\nE=x=y\nnot a setting\n#F=no\n';
    expect(parseEnvFile(content)).toEqual({ A_B: 'one', C: 'two # three', D: '', E: 'x=y' });
  });
});

describe('settings', () => {
  test('of dev need nothing, and an empty one is one that is not given', () => {
    const defaults = parseConfig('dev', {});
    expect(defaults).toMatchObject({ VECTRON_TICK_MS: 50, VECTRON_ELECTION_TICKS: 20, VECTRON_GRPC_PORT: 7700 });
    expect(parseConfig('dev', { VECTRON_TICK_MS: '', VECTRON_DATA_DIR: '' })).toEqual(defaults);
  });

  test('of a node are read as what they are', () => {
    const given = { ...joined, VECTRON_NODE: 'worker-1', VECTRON_PD: 'pd-1=a:1, pd-2=b:2', VECTRON_SHARD_THREADS: '3' };
    expect(parseConfig('worker', given)).toMatchObject({
      VECTRON_SHARD_THREADS: 3,
      VECTRON_PD: [
        { node: 'pd-1', address: 'a:1' },
        { node: 'pd-2', address: 'b:2' },
      ],
    });
  });

  const wrong: readonly [Service, Record<string, string>, string][] = [
    ['dev', { VECTRON_TICK_MS: 'soon' }, 'VECTRON_TICK_MS'],
    ['dev', { VECTRON_TICK_MS: '0' }, 'VECTRON_TICK_MS'],
    ['dev', { VECTRON_GRPC_PORT: '65536' }, 'VECTRON_GRPC_PORT'],
    ['dev', { VECTRON_SHARD_THREADS: '1.5' }, 'VECTRON_SHARD_THREADS'],
    ['dev', { VECTRON_INDEX_MEMORY_MIB: '-1' }, 'VECTRON_INDEX_MEMORY_MIB'],
    ['dev', { VECTRON_CLUSTER: 'a/b' }, 'VECTRON_CLUSTER'],
    ['dev', { VECTRON_HEARTBEAT_TICKS: '15' }, 'VECTRON_ELECTION_TICKS'],
    ['pd', { ...joined, VECTRON_NODE: '' }, 'VECTRON_NODE'],
    ['pd', { ...joined, VECTRON_NODE: 'pd-9' }, 'VECTRON_NODE'],
    ['pd', { ...joined, VECTRON_LISTEN: '7100' }, 'VECTRON_LISTEN'],
    ['worker', { ...joined, VECTRON_PD: '' }, 'VECTRON_PD'],
    ['worker', { ...joined, VECTRON_PD: 'pd-1' }, 'VECTRON_PD'],
    ['worker', { ...joined, VECTRON_PD: 'pd-1=a:1,pd-1=b:1' }, 'VECTRON_PD'],
    ['gateway', { ...joined, VECTRON_HTTP_PORT: '-1' }, 'VECTRON_HTTP_PORT'],
  ];
  test.each(wrong)('of %s: %j is refused, naming the setting', (service, environment, setting) => {
    let error: unknown = null;
    try {
      parseConfig(service, environment);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(VectronError);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: setting });
    expect((error as VectronError).message).toContain(`configuration of ${service}: ${setting}: `);
  });

  test('all that are wrong are named at once', () => {
    expect(() => parseConfig('gateway', { VECTRON_GRPC_PORT: 'x' })).toThrow(
      /VECTRON_GRPC_PORT: .*VECTRON_NODE: .*VECTRON_LISTEN: .*VECTRON_PD: /,
    );
  });

  test.each(services)('of %s are described, each with its default', (service) => {
    const description = describeConfig(service);
    for (const name of Object.keys(schemas[service].shape)) expect(description).toContain(`| ${name} | `);
  });
});
