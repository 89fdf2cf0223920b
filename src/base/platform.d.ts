/**
 * The only platform names that pure code may use. Both are deterministic functions of their argument, so they do not
 * weaken the rule that pure code reaches no clock, randomness, disk or network. Everything else comes in through ports.
 */
declare class TextEncoder {
  encode(text: string): Uint8Array;
  encodeInto(text: string, target: Uint8Array): { read: number; written: number };
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes: Uint8Array): string;
}
