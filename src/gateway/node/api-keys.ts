import { hash, timingSafeEqual } from 'node:crypto';
import { VectronError } from '../../base/errors';

/** Keys are held and compared as digests, each in constant time, so that timing says nothing about them. */
export class ApiKeys {
  private readonly digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.digests = keys.map(digestOf);
  }

  /** Throws UNAUTHENTICATED unless one of the two headers carries a known key. */
  check(authorization: string | undefined, apiKey: string | undefined): void {
    const presented = bearer(authorization) ?? apiKey;
    if (presented === undefined)
      throw new VectronError('UNAUTHENTICATED', 'no API key: send authorization: Bearer KEY');
    const digest = digestOf(presented);
    // No early exit: every key is compared.
    const matches = this.digests.filter((known) => timingSafeEqual(known, digest));
    if (matches.length === 0) throw new VectronError('UNAUTHENTICATED', 'the API key is not known');
  }
}

const digestOf = (key: string): Buffer => hash('sha256', key, 'buffer');

function bearer(authorization: string | undefined): string | undefined {
  const match = /^bearer +(.+)$/i.exec(authorization ?? '');
  return match?.[1];
}
