import { createServer } from 'node:net';
import { cannotListen } from '../gateway/node/listen';

/** Below the ports that systems hand out by themselves: a port stays ours while its process is down. */
const low = 20_000;
const high = 30_000;
const attemptsMax = 200;

/** Ports of loopback that nobody listens on now, each once. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let attempt = 0; found.size < count; attempt++) {
    if (attempt >= attemptsMax) throw new Error(`no ${count} free ports between ${low} and ${high}`);
    const port = low + Math.floor(Math.random() * (high - low));
    if (!found.has(port) && (await isFree(port))) found.add(port);
  }
  return [...found];
}

const isFree = (port: number): Promise<boolean> =>
  tryListen('127.0.0.1', port).then(
    () => true,
    () => false,
  );

/** Says at once what would otherwise come out when everything else has started. Port 0 is any that is free. */
export async function expectFreePort(server: string, host: string, port: number): Promise<void> {
  try {
    await tryListen(host, port);
  } catch (error) {
    throw cannotListen(server, `${host}:${port}`, error as Error);
  }
}

function tryListen(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, host, () => server.close(() => resolve()));
  });
}
