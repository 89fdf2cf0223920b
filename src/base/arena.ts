const slabBytes = 16 * 1024;

/**
 * Hands out pieces of larger buffers. A Uint8Array with a buffer of its own costs the collector, and every native call it is
 * handed to, several times what a few hundred bytes are worth. A slab lives as long as any piece of it: not for what is kept.
 */
export class ByteArena {
  private slab = new Uint8Array(0);
  private used = 0;

  /** Zeros; large ones get a buffer of their own. */
  take(length: number): Uint8Array {
    if (length * 4 > slabBytes) return new Uint8Array(length);
    if (this.used + length > this.slab.length) {
      this.slab = new Uint8Array(slabBytes);
      this.used = 0;
    }
    const piece = this.slab.subarray(this.used, this.used + length);
    // Numbers in pieces stay aligned for whoever reads them as such.
    this.used += (length + 7) & ~7;
    return piece;
  }

  copyOf(bytes: Uint8Array): Uint8Array {
    const piece = this.take(bytes.length);
    piece.set(bytes);
    return piece;
  }
}
