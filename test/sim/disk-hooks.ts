import { VectronError } from '../../src/base/errors';
import type { WriteBatch } from '../../src/storage/ports';
import type { SimMachine } from './sim-machine';

type Armed = 'no' | 'crash' | 'error';

/**
 * What one machine's disks do to those who use them. A fault that is armed strikes the next write, sync or read; a disk
 * that is full refuses every write until there is room again, whatever starts anew meanwhile.
 */
export class DiskHooks {
  /** Set in the middle of a write: the machine dies before anything else happens. */
  dying = false;
  /** A write or sync has failed since the process began. */
  sick = false;
  private armed: Armed = 'no';
  private isFull = false;
  private readFails = false;

  constructor(private readonly machine: SimMachine) {}

  /** To the machine's disks as they are now. */
  attach(): void {
    const { log, state } = this.machine.disk;
    for (const store of [log, state]) {
      store.hook = (_operation, batch) => this.beforeWrite(batch);
      store.readHook = () => this.beforeRead();
    }
  }

  /** The next write or sync fails, or the machine dies in the middle of it. */
  arm(what: 'crash' | 'error'): void {
    this.armed = what;
  }

  /** The next read of the machine's own code fails, and only that one. */
  failRead(): void {
    this.readFails = true;
  }

  fill(): void {
    this.isFull = true;
  }

  /** There is room again, and no fault that has not come yet will come. */
  disarm(): void {
    this.armed = 'no';
    this.isFull = false;
    this.readFails = false;
  }

  /** The process has ended. A full disk stays full. */
  reset(): void {
    this.armed = 'no';
    this.dying = false;
    this.sick = false;
    this.readFails = false;
  }

  /** Whether an actor may end with this: its disk has failed it, and it said so. */
  isExpected(thrown: unknown): boolean {
    return this.machine.sick || String(thrown).includes('EIO');
  }

  private beforeWrite(batch: WriteBatch | null): void {
    const { armed } = this;
    if (this.isFull && batch?.operations.some(({ type }) => type === 'put') === true) this.fail('diskFull', 'ENOSPC');
    this.armed = 'no';
    if (armed === 'error') this.fail('diskError', 'EIO');
    if (armed === 'no') return;
    this.context.world.tally.add('crashInWrite');
    this.dying = true;
    throw new Error('the machine lost power in the middle of a write');
  }

  private fail(kind: 'diskError' | 'diskFull', errno: string): never {
    this.context.world.note(`${errno} ${this.machine.name}`);
    this.context.world.tally.add(kind);
    this.sick = true;
    throw new Error(errno);
  }

  /** Those who watch the run read too, between its turns. */
  private beforeRead(): void {
    if (!this.readFails || this.context.world.turning !== this.machine.node) return;
    this.readFails = false;
    this.context.world.note(`READ ERROR ${this.machine.name}`);
    this.context.world.tally.add('readError');
    throw new VectronError('INTERNAL', 'a read failed: EIO');
  }

  private get context() {
    return this.machine.context;
  }
}
