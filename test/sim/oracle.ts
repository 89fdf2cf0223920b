import { Violation } from './violation';

/** `rejected`: it was promised that it never takes effect. `loose`: it may, even later. */
export type End = 'acknowledged' | 'loose' | 'rejected';

interface Operation {
  readonly serial: number;
  readonly deletes: boolean;
  state: 'open' | 'acknowledged' | 'loose';
}

/**
 * What a client may believe about one key that only it writes, one operation at a time. Serials count up.
 *
 * An operation is loose when it may still take effect later: its outcome is unknown, or it took so long that the gateway
 * may have sent it twice. (Exactly-once writes will end that; until then a loose operation may surface at any time.)
 */
class KeyHistory {
  private readonly operations: Operation[] = [];
  private acknowledged = -1;

  invoke(serial: number, deletes: boolean): void {
    this.operations.push({ serial, deletes, state: 'open' });
  }

  finish(serial: number, state: End, slow: boolean): void {
    const at = this.operations.findIndex((operation) => operation.serial === serial);
    const operation = this.operations[at];
    if (operation === undefined) throw new Violation(`oracle: no operation ${serial}`);
    if (state === 'rejected') this.operations.splice(at, 1);
    else operation.state = state === 'loose' || slow ? 'loose' : 'acknowledged';
    if (state === 'acknowledged') this.acknowledged = Math.max(this.acknowledged, serial);
  }

  get floor(): number {
    return this.acknowledged;
  }

  /** Whether a read that began when `floor` was acknowledged may have seen `serial`; null: found nothing. */
  mayShow(serial: number | null, floor: number): boolean {
    if (serial === null) {
      return (
        floor < 0 ||
        this.operations.some(
          (operation) => operation.deletes && (operation.serial >= floor || operation.state === 'loose'),
        )
      );
    }
    const operation = this.operations.find((candidate) => candidate.serial === serial);
    if (operation === undefined || operation.deletes) return false;
    return serial >= floor || operation.state === 'loose';
  }
}

/** The clients' memory: what was acknowledged must be read, and nothing else may be. */
export class Oracle {
  private readonly keys = new Map<string, KeyHistory>();
  acknowledgedCount = 0;
  unknownCount = 0;
  rejectedCount = 0;

  private history(key: string): KeyHistory {
    const known = this.keys.get(key);
    if (known !== undefined) return known;
    const created = new KeyHistory();
    this.keys.set(key, created);
    return created;
  }

  invoke(key: string, serial: number, deletes: boolean): void {
    this.history(key).invoke(serial, deletes);
  }

  finish(key: string, serial: number, state: End, slow: boolean): void {
    this.history(key).finish(serial, state, slow);
    if (state === 'acknowledged') this.acknowledgedCount++;
    if (state === 'loose') this.unknownCount++;
    if (state === 'rejected') this.rejectedCount++;
  }

  floorOf(key: string): number {
    return this.history(key).floor;
  }

  /** Checks what a linearizable read saw; `floor` is floorOf(key) when the read began. */
  read(key: string, serial: number | null, floor: number, where: string): void {
    if (this.history(key).mayShow(serial, floor)) return;
    throw new Violation(`${where}: ${key} shows ${serial === null ? 'nothing' : serial}, acknowledged was ${floor}`);
  }

  allKeys(): string[] {
    return [...this.keys.keys()];
  }
}
