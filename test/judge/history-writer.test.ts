import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callsFileOf, HistoryWriter } from '../history/history-writer';
import { buildJudge, judge } from '../history/judge';

const folder = mkdtempSync(join(tmpdir(), 'vectron-history-'));
const meta = { model: 'register', seed: 1, commit: 'none', clock: 'counted' } as const;
let program = '';
let now = 0;
const tick = (): number => ++now;
const linesOf = (file: string): Record<string, unknown>[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(() => {
  program = buildJudge();
});
afterAll(() => rmSync(folder, { recursive: true }));

it('has an invocation on disk before it may be sent, and its ending when it has one', () => {
  const file = join(folder, 'order.jsonl');
  const writer = new HistoryWriter(file, meta, tick);
  const id = writer.begin({ p: 4, f: 'put', k: 'a', v: { h: 'x' } });
  const [invocation] = linesOf(callsFileOf(file));
  expect(invocation).toEqual({ p: 4, id, f: 'put', k: 'a', v: { h: 'x' }, call: now });
  expect(linesOf(file)).toEqual([{ meta }]);
  writer.end(id, { st: 'ok', o: null });
  expect(linesOf(file)[1]).toEqual({ ...invocation, ret: now, st: 'ok', o: null });
  expect(() => writer.end(id, { st: 'ok', o: null })).toThrow('not open');
  writer.close();
  expect(linesOf(file)).toHaveLength(2);
});

it('leaves what was never answered as unknown', () => {
  const file = join(folder, 'open.jsonl');
  const writer = new HistoryWriter(file, meta, tick);
  writer.begin({ p: 1, f: 'put', k: 'a', v: { h: 'x' } });
  const read = writer.begin({ p: 2, f: 'get', k: 'a' });
  writer.end(read, { st: 'ok', o: { h: 'x', ver: 3 } });
  writer.close();
  expect(linesOf(file)[2]).toMatchObject({ f: 'put', st: 'info' });
  expect(judge(program, [file])).toMatchObject({ verdict: 'legal', output: expect.stringContaining('1 info') });
});

it('lets the judge count what a client that died had under way', () => {
  const file = join(folder, 'died.jsonl');
  const writer = new HistoryWriter(file, meta, tick);
  writer.begin({ p: 1, f: 'put', k: 'a', v: { h: 'x' } });
  const read = writer.begin({ p: 2, f: 'get', k: 'a' });
  writer.end(read, { st: 'ok', o: { h: 'x', ver: 3 } });
  // No close(): the history alone has a value from nowhere, and only the calls file explains it.
  expect(judge(program, [file]).verdict).toBe('legal');
  rmSync(callsFileOf(file));
  expect(judge(program, [file]).verdict).toBe('illegal');
});

it.each([
  ['legal', { h: 'x' }],
  ['illegal', { h: null }],
])('is understood by the judge: %s', (verdict, o) => {
  const file = join(folder, `${verdict}.jsonl`);
  const writer = new HistoryWriter(file, meta, tick);
  writer.end(writer.begin({ p: 1, f: 'put', k: 'a', v: { h: 'x' } }), { st: 'ok', o: null });
  writer.end(writer.begin({ p: 1, f: 'get', k: 'a' }), { st: 'ok', o });
  writer.close();
  expect(judge(program, [file]).verdict).toBe(verdict);
});

it('a judge that does not run is no verdict', () => {
  expect(() => judge(join(folder, 'no-such-program'), [])).toThrow('ENOENT');
  expect(() => judge(process.execPath, ['--eval', 'process.exit(9)'])).toThrow('ended with 9');
});
