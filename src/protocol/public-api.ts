import { VectronDefinition } from './generated/vectron/v1/vectron';

/** The calls of the public .proto, typed by their method's name: what servers and clients agree on. */
export const publicMethods = VectronDefinition.methods;
export const publicServiceName: string = VectronDefinition.fullName;

type Methods = typeof publicMethods;
export type PublicMethod = keyof Methods;
export type RequestOf<K extends PublicMethod> = Parameters<Methods[K]['requestType']['encode']>[0];
export type ReplyOf<K extends PublicMethod> = ReturnType<Methods[K]['responseType']['decode']>;
/** Methods whose answer is one message. */
export type UnaryMethod = { [K in PublicMethod]: Methods[K]['responseStream'] extends false ? K : never }[PublicMethod];

/** Trailing metadata of a failed call. */
export const errorMetadata = {
  code: 'vectron-code',
  field: 'vectron-field',
  retryAfterMs: 'retry-after-ms',
  /** An encoded ErrorDetail. */
  detail: 'vectron-error-bin',
} as const;

/** Positions as a bitmap: bit p % 8 of byte p / 8, short enough for a header whatever the positions. */
export function encodePositions(positions: readonly number[]): Uint8Array {
  const last = positions.reduce((a, b) => Math.max(a, b), -1);
  const bits = new Uint8Array(Math.floor(last / 8) + 1);
  for (const position of positions) {
    const at = Math.floor(position / 8);
    bits[at] = (bits[at] as number) | (1 << (position % 8));
  }
  return bits;
}

export function decodePositions(bits: Uint8Array): number[] {
  const positions: number[] = [];
  for (const [at, byte] of bits.entries()) {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) positions.push(at * 8 + bit);
  }
  return positions;
}
