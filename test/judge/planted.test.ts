import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../../src/base/prng';
import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import { Clients, collection, dimension } from '../chaos/clients';
import { parseOptions } from '../chaos/options';
import { differences, replicasAgree } from '../chaos/replica-check';
import { callsFileOf, HistoryWriter } from '../history/history-writer';
import { buildJudge, type Judgement, judge } from '../history/judge';

interface Line {
  readonly f: string;
  readonly k: string;
  readonly v?: { readonly h: string };
  readonly call: number;
  readonly ret: number;
  readonly o: { readonly h?: string | null; readonly ver?: number } | null;
}

const key = 'key-0';
const older = 'older';
const newer = 'newer';

/** Two writes of a key one after the other, then two reads: where the tests plant, whatever the load was. */
async function overwrite(client: VectronClient, writer: HistoryWriter): Promise<void> {
  const asked = { p: 0, k: key } as const;
  for (const h of [older, newer]) {
    const id = writer.begin({ ...asked, f: 'put', v: { h } });
    await client.upsert(collection, [{ id: key, vector: [1, 2, 3, 4], payload: { h } }]);
    writer.end(id, { st: 'ok', o: null });
  }
  for (let read = 0; read < 2; read++) {
    const id = writer.begin({ ...asked, f: 'get' });
    const { payload, version } = await client.get(collection, key);
    writer.end(id, { st: 'ok', o: { h: String(payload?.['h']), ver: version } });
  }
}

/** A history recorded from a real cluster, then falsified: what a judge is worth is what it finds. */
describe('in the history of a real cluster', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-planted-'));
  const recorded = join(folder, 'recorded.jsonl');
  let program = '';
  let meta = '';
  let lines: Line[] = [];
  let unequal: string[] = [];

  beforeAll(async () => {
    program = buildJudge();
    const options = parseOptions(['--ops', '1200', '--clients', '8', '--keys', '4', '--out', recorded]);
    const cluster = await startDevCluster({ dataDirectory: join(folder, 'data') });
    const client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
    await client.createCollection({ name: collection, dimension, distance: 'euclidean', shardCount: 2 });
    const nowNs = (): number => Number(process.hrtime.bigint());
    const clock = 'CLOCK_MONOTONIC ns, one host';
    const writer = new HistoryWriter(recorded, { model: 'register', seed: 1, commit: '', clock }, nowNs);
    const clients = new Clients([cluster.grpcAddress], cluster.apiKey, options, new Prng(1), writer);
    clients.start();
    await clients.ended();
    await replicasAgree(cluster, collection);
    unequal = await differences(cluster, collection, await clients.readAll());
    clients.close();
    await overwrite(client, writer);
    client.close();
    writer.close();
    await cluster.stop();
    const [first, ...rest] = readFileSync(recorded, 'utf8').trimEnd().split('\n');
    meta = first ?? '';
    lines = rest.map((line) => JSON.parse(line) as Line);
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  const judged = (changed: readonly Line[]): Judgement => {
    const file = join(folder, 'changed.jsonl');
    writeFileSync(file, [meta, ...changed.map((line) => JSON.stringify(line)), ''].join('\n'));
    return judge(program, [file]);
  };

  it('nothing is wrong, and no replica differs from what was read', () => {
    expect(judge(program, [recorded])).toMatchObject({ verdict: 'legal', output: expect.stringContaining('1208 ops') });
    expect(unequal).toEqual([]);
    expect(judged(lines).verdict).toBe('legal');
  });

  const readersOfNewer = (): Line[] => lines.filter(({ f, o }) => f === 'get' && o?.h === newer);

  it('one stale read is found, and shown alone', () => {
    const stale = readersOfNewer().at(-1);
    const { verdict, output } = judged(lines.map((line) => (line === stale ? { ...line, o: { h: older } } : line)));
    expect(verdict).toBe('illegal');
    expect(output).toContain(`1 keys are illegal; key "${key}" by these 3 operations alone`);
    expect(output).toContain(`"o":{"h":"${older}"}`);
  });

  it('a lost write is found: all later reads see the one before', () => {
    const lost = lines.map((line) => (readersOfNewer().includes(line) ? { ...line, o: { h: older } } : line));
    expect(judged(lost).verdict).toBe('illegal');
    // The same without the acknowledgement is what a client must expect.
    const unknown = lost.map((line) => (line.v?.h === newer ? { ...line, st: 'info' } : line));
    expect(judged(unknown).verdict).toBe('legal');
  });

  it('a write that was applied twice is found by its version', () => {
    const again = readersOfNewer().at(-1);
    const ver = (again?.o?.ver ?? 0) + 1;
    const { verdict } = judged(lines.map((line) => (line === again ? { ...line, o: { h: newer, ver } } : line)));
    expect(verdict).toBe('illegal');
  });

  it.each([
    ['a cut last line', (text: string) => text.slice(0, -10)],
    ['a line twice', (text: string) => `${text}${text.trimEnd().split('\n').at(-1)}\n`],
    ['no meta line', (text: string) => text.slice(text.indexOf('\n') + 1)],
    ['an answer before the call', (text: string) => text.replace(/"ret":\d+/, '"ret":1')],
    ['an operation that nobody called', (text: string) => text.replace(/"id":\d+/, '"id":999999')],
  ])('%s is malformed, not legal', (_what, damage) => {
    const file = join(folder, 'damaged.jsonl');
    writeFileSync(file, damage(readFileSync(recorded, 'utf8')));
    writeFileSync(callsFileOf(file), readFileSync(callsFileOf(recorded)));
    expect(judge(program, [file]).verdict).toBe('malformed');
  });
});
