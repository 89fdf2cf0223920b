import type { ActorHost, Clock } from '../actor-host';

export interface ThreadLoopOptions {
  readonly host: ActorHost;
  readonly clock: Clock;
  /** After each turn: hands over to other threads what the turn has sent. */
  readonly afterTurn: () => void;
  /** Data work in one turn. */
  readonly dataBudgetMs?: number;
  /** The loop turns at least this often, so that each turn is a sign of life. Default: it sleeps until something is due. */
  readonly turnMsMax?: number;
}

/** Node's timers start from a time that may be this old, so they end early by as much: a long sleep would end twice. */
const timerSlackMs = 2;
const longSleepMs = 100;
/** A timer that is later than this ended a standstill, in which messages may have come. */
const lateMs = 20;

/**
 * Drives the actors of one thread (DESIGN D1). Sockets and ports only enqueue and call wake(); a turn runs from
 * setImmediate, so that they get their say between turns. Idle, the thread sleeps on one timer for the next deadline, and
 * turns as soon as that ends: it is woken for nothing else, and each way through the event loop costs an idle thread most of
 * what its turn does.
 */
export class ThreadLoop {
  private readonly dataBudgetMs: number;
  private readonly turnMsMax: number;
  private immediate: NodeJS.Immediate | null = null;
  private timer: NodeJS.Timeout | null = null;
  private timerDue = Number.POSITIVE_INFINITY;
  private inTurn = false;
  private closed = false;

  constructor(private readonly options: ThreadLoopOptions) {
    this.dataBudgetMs = options.dataBudgetMs ?? 2;
    this.turnMsMax = options.turnMsMax ?? Number.POSITIVE_INFINITY;
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
    const now = this.options.clock.now();
    const due = Math.min(this.options.host.nextDue() ?? Number.POSITIVE_INFINITY, now + this.turnMsMax);
    if (due === Number.POSITIVE_INFINITY) {
      this.disarm();
      return;
    }
    if (this.timer !== null && this.timerDue <= due) return;
    this.disarm();
    this.timerDue = due;
    const delayMs = Math.max(0, Math.ceil(due - now));
    this.timer = setTimeout(() => this.timeUp(), delayMs > longSleepMs ? delayMs + timerSlackMs : delayMs);
  }

  /** What came during a standstill is read first, as it may be what the deadline is about. */
  private timeUp(): void {
    this.timer = null;
    const isLate = this.options.clock.now() - this.timerDue > lateMs;
    if (isLate) this.wake();
    else if (this.immediate === null) this.turn();
  }

  private disarm(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.timerDue = Number.POSITIVE_INFINITY;
  }
}
