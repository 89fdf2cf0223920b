import { randomInt } from 'node:crypto';

/** A seed nobody can guess or repeat: production's only source of randomness for the seeded generators. */
export const randomSeed = (): number => randomInt(0, 2 ** 32);
