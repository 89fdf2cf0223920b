/** A thread of this process, as its runtime numbers it: never reused while the process lives. 0 is the main thread. */
export type ThreadNumber = number;

/**
 * Which thread hosts which actor, as its peers announced it. One per thread; fed by the very ports that carry the
 * actors' messages, so that an actor is known before its first message arrives.
 *
 *  1. A name belongs to the thread that announced it last.
 *  2. What a thread says about a name that has moved on is ignored.
 */
export class Directory {
  private readonly threads = new Map<string, ThreadNumber>();

  threadOf(name: string): ThreadNumber | undefined {
    return this.threads.get(name);
  }

  /** Returns the other thread that had the name until now and has not been heard giving it away; null: none. */
  added(name: string, thread: ThreadNumber): ThreadNumber | null {
    const before = this.threads.get(name) ?? thread;
    this.threads.set(name, thread);
    return before === thread ? null : before;
  }

  /** False: the name is another thread's by now, or nobody's. */
  removed(name: string, thread: ThreadNumber): boolean {
    return this.threads.get(name) === thread && this.threads.delete(name);
  }

  /** Forgets a thread; returns the names that were its. */
  left(thread: ThreadNumber): readonly string[] {
    const names = [...this.threads].filter(([, owner]) => owner === thread).map(([name]) => name);
    for (const name of names) this.threads.delete(name);
    return names;
  }

  /** Whether a message from `name` that arrives from `thread` was sent by a predecessor of the actor known here. */
  isStale(name: string, thread: ThreadNumber): boolean {
    const owner = this.threads.get(name);
    return owner !== undefined && owner !== thread;
  }
}
