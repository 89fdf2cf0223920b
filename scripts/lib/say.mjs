/** Something the person can mend: shown as one line, without a stack. */
export class Problem extends Error {}

export const seconds = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;

/** Announces a step, shows that it is alive every 10 s, and says how long it took. Written to stderr: stdout is the program's. */
export async function step(title, work) {
  const started = performance.now();
  console.error(`vectron: ${title} …`);
  const alive = setInterval(() => console.error(`vectron:   still at it, ${seconds(started)}`), 10_000);
  try {
    const result = await work();
    console.error(`vectron:   done in ${seconds(started)}`);
    return result;
  } finally {
    clearInterval(alive);
  }
}
