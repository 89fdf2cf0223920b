import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

const above = (directory: string): string =>
  existsSync(join(directory, 'package.json')) ? directory : above(dirname(directory));

/** Where package.json lies, wherever the compiled example does. */
export const projectRoot = above(__dirname);
