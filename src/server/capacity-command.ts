import { parseArgs } from 'node:util';
import { VectronError } from '../base/errors';

const options = {
  points: { type: 'string' },
  collection: { type: 'string' },
  dimension: { type: 'string' },
  m: { type: 'string' },
  originals: { type: 'string' },
  quantisation: { type: 'string' },
  'replication-factor': { type: 'string' },
} as const;

/** `vectron capacity http://gateway:port --points N (--collection NAME | --dimension D)`: what the gateway says of it. */
export async function capacityCommand(args: readonly string[], apiKey: string | undefined): Promise<string> {
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const [url] = positionals;
  if (url === undefined) throw new VectronError('INVALID_ARGUMENT', 'the address of a gateway is missing');
  const { points, collection, dimension, m, originals, quantisation, 'replication-factor': replicationFactor } = values;
  const numbers = { points, dimension, m, replication_factor: replicationFactor };
  const given = Object.entries(numbers).filter(([, value]) => value !== undefined);
  const asked = Object.fromEntries(given.map(([name, value]) => [name, Number(value)]));
  const body = { ...asked, collection, originals, quantisation };
  const response = await fetch(new URL('/v1/capacity', url), {
    method: 'POST',
    headers: apiKey === undefined ? {} : { 'x-api-key': apiKey },
    body: JSON.stringify(body),
  });
  if (!response.ok)
    throw new VectronError('UNAVAILABLE', `${url} answers ${response.status}: ${await response.text()}`);
  return JSON.stringify(await response.json(), null, 2);
}
