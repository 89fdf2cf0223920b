import { describe, expect, test } from '@jest/globals';
import { clientError } from '../../src/client/errors';
import { delayMs, mayRetry, retryDefaults, withRetries } from '../../src/client/retry';

const unavailable = clientError('UNAVAILABLE', 'x');

describe('delays', () => {
  test('double from 100 ms to 2 s', () => {
    const middle = (): number => 0.5;
    const delays = [1, 2, 3, 4, 5, 6, 7].map((failures) => delayMs(retryDefaults, failures, unavailable, middle));
    expect(delays).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000]);
  });

  test('vary by a fifth up and down', () => {
    expect(delayMs(retryDefaults, 1, unavailable, () => 0)).toBeCloseTo(80);
    expect(delayMs(retryDefaults, 1, unavailable, () => 0.999_999)).toBeCloseTo(120);
  });

  test('are never shorter than the server asks', () => {
    const error = clientError('RESOURCE_EXHAUSTED', 'x', { retryAfterMs: 5_000 });
    expect(delayMs(retryDefaults, 1, error, () => 0.5)).toBe(5_000);
  });
});

test.each([
  ['UNAVAILABLE', true, true],
  ['DEADLINE_EXCEEDED', true, true],
  ['RESOURCE_EXHAUSTED', true, true],
  ['INVALID_ARGUMENT', false, false],
  ['INTERNAL', false, false],
  ['NOT_FOUND', false, false],
  ['CANCELLED', false, false],
] as const)('%s: a read %s, a write %s', (code, read, write) => {
  const error = clientError(code, 'x', { fromServer: true });
  expect([mayRetry(error, false, retryDefaults), mayRetry(error, true, retryDefaults)]).toEqual([read, write]);
});

test('sleeps between attempts, not after the last, and throws the last error', async () => {
  const slept: number[] = [];
  const environment = { random: () => 0.5, sleep: async (ms: number) => void slept.push(ms), wall: () => 0 };
  let attempts = 0;
  const failing = withRetries(retryDefaults, environment, false, () =>
    Promise.reject(clientError('UNAVAILABLE', `attempt ${++attempts}`)),
  );
  await expect(failing).rejects.toThrow('attempt 3');
  expect(slept).toEqual([100, 200]);
});
