import * as fs from 'node:fs';
import { assert } from '../../base/assert';
import { crc32c } from '../../base/crc32c';
import { VectronError } from '../../base/errors';
import type { SequenceMark } from '../ports';

const slotBytes = 24;
/** Slots lie in different pages, so that one torn write cannot ruin both. */
const slotStride = 4_096;
const syncPauseMs = 100;
const magic = 0x3146_4e43;

/**
 * The last synced sequence of a store, kept beside it (DESIGN D3): two slots that are written in turn.
 *
 *   magic:u32  crc32c(rest):u32  turn:u64  sequence:u64
 *
 *  1. It is written after the sync it speaks of, so it never runs ahead of the store.
 *  2. A write reaches the operating system at once, and the disk by a sync in the background: one at a time, and the next
 *     after a pause, as each competes with the store's own sync for the disk. After a power cut the mark may lag by what
 *     was written since; it then guards a little less and never accuses a sound store.
 *  3. A file that is gone or has no valid slot is corrupt: it is created whole before its store is used.
 */
export class FenceFile implements SequenceMark {
  private newest: Slot | null;
  private syncRunning = false;
  private syncWanted = false;
  private pause: NodeJS.Timeout | null = null;
  private closed = false;

  private constructor(
    private readonly descriptor: number | null,
    private readonly onSyncFailed: () => void,
  ) {
    this.newest = descriptor === null ? null : newestSlot(descriptor);
  }

  /** Makes a file that says 0, in place of any other. Durable when it returns, but for the directory's entry. */
  static create(path: string): void {
    const descriptor = fs.openSync(path, 'w');
    try {
      fs.writeSync(descriptor, bytesOf({ turn: 0n, sequence: 0 }), 0, slotBytes, 0);
      fs.writeSync(descriptor, new Uint8Array(slotBytes), 0, slotBytes, slotStride);
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  }

  /** A file that is missing opens too, and reads as corrupt. */
  static open(path: string, onSyncFailed: () => void): FenceFile {
    return new FenceFile(fs.existsSync(path) ? fs.openSync(path, 'r+') : null, onSyncFailed);
  }

  read(): number {
    if (this.descriptor === null) throw new VectronError('CORRUPT', 'the fence file is gone');
    if (this.newest === null) throw new VectronError('CORRUPT', 'the fence file has no valid slot');
    return this.newest.sequence;
  }

  write(sequence: number): void {
    assert(this.descriptor !== null && this.newest !== null && !this.closed, 'FenceFile: written without a valid file');
    const slot = { turn: this.newest.turn + 1n, sequence };
    const position = slot.turn % 2n === 0n ? 0 : slotStride;
    const written = fs.writeSync(this.descriptor, bytesOf(slot), 0, slotBytes, position);
    if (written !== slotBytes) throw new VectronError('INTERNAL', 'the fence file took only a part of a slot');
    this.newest = slot;
    this.syncInBackground(this.descriptor);
  }

  close(): void {
    if (this.closed || this.descriptor === null) return;
    this.closed = true;
    if (this.pause !== null) clearTimeout(this.pause);
    if (!this.syncRunning) fs.closeSync(this.descriptor);
  }

  private syncInBackground(descriptor: number): void {
    this.syncWanted = true;
    if (this.syncRunning || this.pause !== null) return;
    this.syncRunning = true;
    this.syncWanted = false;
    fs.fdatasync(descriptor, (error) => {
      this.syncRunning = false;
      if (error !== null) this.onSyncFailed();
      if (this.closed) fs.closeSync(descriptor);
      else if (error === null) this.syncAfterPause(descriptor);
    });
  }

  private syncAfterPause(descriptor: number): void {
    this.pause = setTimeout(() => {
      this.pause = null;
      if (this.syncWanted) this.syncInBackground(descriptor);
    }, syncPauseMs).unref();
  }
}

interface Slot {
  readonly turn: bigint;
  readonly sequence: number;
}

function newestSlot(descriptor: number): Slot | null {
  const slots = [0, slotStride].map((position) => readSlot(descriptor, position));
  return slots.reduce((a, b) => (a === null || (b !== null && b.turn > a.turn) ? b : a));
}

function bytesOf({ turn, sequence }: Slot): Uint8Array {
  const slot = new Uint8Array(slotBytes);
  const view = new DataView(slot.buffer);
  view.setUint32(0, magic, true);
  view.setBigUint64(8, turn, true);
  view.setBigUint64(16, BigInt(sequence), true);
  view.setUint32(4, crc32c(slot.subarray(8)), true);
  return slot;
}

function readSlot(descriptor: number, position: number): Slot | null {
  const slot = new Uint8Array(slotBytes);
  if (fs.readSync(descriptor, slot, 0, slotBytes, position) !== slotBytes) return null;
  const view = new DataView(slot.buffer);
  const valid = view.getUint32(0, true) === magic && view.getUint32(4, true) === crc32c(slot.subarray(8));
  return valid ? { turn: view.getBigUint64(8, true), sequence: Number(view.getBigUint64(16, true)) } : null;
}
