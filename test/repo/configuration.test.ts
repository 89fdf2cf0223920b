import { parseEnvFile, type Service } from '../../src/server/config/env-files';
import { describeConfig, parseConfig, schemas } from '../../src/server/config/schema';
import { readText } from './support/files';

const services = Object.keys(schemas) as Service[];
/** Settings without a default, which every joined service must be given. */
const required = { VECTRON_NODE: 'pd-1', VECTRON_LISTEN: '127.0.0.1:7100', VECTRON_PD: 'pd-1=127.0.0.1:7101' };

describe.each(services)('the shipped settings of %s', (service) => {
  const shipped = (): Record<string, string> => parseEnvFile(readText(`config/${service}.env`));

  it('are the true defaults', () => {
    expect(parseConfig(service, { ...required, ...shipped() })).toEqual(parseConfig(service, required));
  });

  it('name every setting that there is and no other', () => {
    const named = [...readText(`config/${service}.env`).matchAll(/^(?:# )?(VECTRON_[A-Z_]+)=/gm)].map(
      (match) => match[1],
    );
    expect(named).toEqual(Object.keys(schemas[service].shape));
  });

  it('are described in docs/configuration.md', () => {
    expect(readText('docs/configuration.md')).toContain(describeConfig(service));
  });
});
