import { VectronError } from '../base/errors';
import { flags } from '../protocol/flags';

/** `vectron flags`: what this program knows. With the address of a gateway's HTTP port: what is on there. */
export async function flagsCommand(url: string | undefined, apiKey: string | undefined): Promise<string> {
  if (url === undefined) return flags.map(({ number, name, since }) => `${number} ${name} (since ${since})`).join('\n');
  const response = await fetch(new URL('/v1/flags', url), {
    headers: apiKey === undefined ? {} : { 'x-api-key': apiKey },
  });
  if (!response.ok)
    throw new VectronError('UNAVAILABLE', `${url} answers ${response.status}: ${await response.text()}`);
  return JSON.stringify(await response.json(), null, 2);
}
