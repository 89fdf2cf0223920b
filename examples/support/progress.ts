const width = 30;

/** A bar that redraws itself on a terminal; elsewhere a line for each tenth. */
export class ProgressBar {
  private readonly startedMs = performance.now();
  private tenth = 0;

  constructor(
    private readonly title: string,
    private readonly total: number,
  ) {}

  /** Done per second since the start. */
  rate(done: number): number {
    return done / ((performance.now() - this.startedMs) / 1000);
  }

  show(done: number): void {
    const share = done / this.total;
    const line = `${this.title} ${bar(share)} ${done}/${this.total}  ${Math.round(this.rate(done))}/s`;
    if (process.stdout.isTTY) {
      process.stdout.write(`\r${line}${done >= this.total ? '\n' : ''}`);
      return;
    }
    const tenth = Math.floor(share * 10);
    if (tenth > this.tenth) console.log(line);
    this.tenth = Math.max(this.tenth, tenth);
  }
}

function bar(share: number): string {
  const filled = Math.min(width, Math.round(share * width));
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
}
