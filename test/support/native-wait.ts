const nobodyNotifies = new Int32Array(new SharedArrayBuffer(4));

/** Until `isSo`, letting the native threads work, which need nothing of this one. Looks every millisecond. */
export function untilNative(what: string, isSo: () => boolean, deadlineMs = 60_000): void {
  const untilMs = performance.now() + deadlineMs;
  while (!isSo()) {
    if (performance.now() > untilMs) throw new Error(`not in ${deadlineMs} ms: ${what}`);
    Atomics.wait(nobodyNotifies, 0, 0, 1);
  }
}
