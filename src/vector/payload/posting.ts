import { Bits } from './bits';

/** From here on a set of bits is smaller than the list, if slots are as many as 32 times this. */
const sparseMin = 64;

/**
 * The slots that have one value: a sorted list while they are few among all slots, else bits. The owner knows what is in
 * it: add() is told of no slot that is there, remove() of none that is not.
 */
export class Posting {
  private slots: Uint32Array | null = new Uint32Array(4);
  private bits: Bits | null = null;
  private size = 0;

  get count(): number {
    return this.size;
  }
  get bytes(): number {
    return (this.slots?.byteLength ?? 0) + (this.bits?.bytes ?? 0);
  }

  /** `slotCount`: of all points; says from when on bits are smaller. */
  add(slot: number, slotCount: number): void {
    if (this.bits !== null) this.bits.add(slot);
    else this.insert(slot);
    this.size++;
    if (this.bits === null && this.size > Math.max(sparseMin, slotCount / 32)) this.condense(slotCount);
  }

  remove(slot: number): void {
    this.size--;
    if (this.bits !== null) return this.bits.remove(slot);
    const slots = this.slots as Uint32Array;
    slots.copyWithin(this.placeOf(slot), this.placeOf(slot) + 1, this.size + 1);
  }

  addTo(target: Bits): void {
    if (this.bits !== null) target.or(this.bits);
    else for (let i = 0; i < this.size; i++) target.add((this.slots as Uint32Array)[i] as number);
  }

  private insert(slot: number): void {
    let slots = this.slots as Uint32Array;
    if (this.size === slots.length) {
      const grown = new Uint32Array(Math.ceil(slots.length * 1.5));
      grown.set(slots);
      this.slots = slots = grown;
    }
    const at = this.placeOf(slot);
    slots.copyWithin(at + 1, at, this.size);
    slots[at] = slot;
  }

  private placeOf(slot: number): number {
    const slots = this.slots as Uint32Array;
    let low = 0;
    let high = Math.min(this.size, slots.length);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((slots[middle] as number) < slot) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private condense(slotCount: number): void {
    const bits = new Bits(slotCount);
    this.addTo(bits);
    this.bits = bits;
    this.slots = null;
  }
}
