import type { ActorHost, Clock } from '../actor-host';

export interface ThreadLoopOptions {
  readonly host: ActorHost;
  readonly clock: Clock;
  /** After each turn: hands over to other threads what the turn has sent. */
  readonly afterTurn: () => void;
  /** Data work in one turn. */
  readonly dataBudgetMs?: number;
}

/**
 * Drives the actors of one thread (DESIGN D1). Sockets and ports only enqueue and call wake(); a turn runs from
 * setImmediate, so that they get their say between turns. Idle, the thread sleeps on one timer for the next deadline.
 */
export class ThreadLoop {
  private readonly dataBudgetMs: number;
  private immediate: NodeJS.Immediate | null = null;
  private timer: NodeJS.Timeout | null = null;
  private timerDue = Number.POSITIVE_INFINITY;
  private inTurn = false;
  private closed = false;

  constructor(private readonly options: ThreadLoopOptions) {
    this.dataBudgetMs = options.dataBudgetMs ?? 2;
  }

  /** There is something to do. Cheap when already awake. */
  wake(): void {
    if (this.closed || this.inTurn || this.immediate !== null) return;
    this.immediate = setImmediate(() => this.turn());
  }

  close(): void {
    this.closed = true;
    if (this.immediate !== null) clearImmediate(this.immediate);
    this.disarm();
  }

  private turn(): void {
    this.immediate = null;
    this.inTurn = true;
    let isMore = false;
    try {
      isMore = this.options.host.run(this.dataBudgetMs);
      this.options.afterTurn();
    } finally {
      this.inTurn = false;
    }
    if (this.closed) return;
    if (isMore) this.wake();
    else this.sleep();
  }

  private sleep(): void {
    const due = this.options.host.nextDue();
    if (due === null) {
      this.disarm();
      return;
    }
    if (this.timer !== null && this.timerDue <= due) return;
    this.disarm();
    this.timerDue = due;
    this.timer = setTimeout(
      () => {
        this.timer = null;
        this.wake();
      },
      Math.max(0, Math.ceil(due - this.options.clock.now())),
    );
  }

  private disarm(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.timerDue = Number.POSITIVE_INFINITY;
  }
}
