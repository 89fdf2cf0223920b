import { VectronError } from '../../base/errors';
import { runDedicatedThread } from './thread-entry';

/** Entry file of a worker machine's link thread: it holds the link, as DedicatedThreadOptions.link says, and no actors. */
runDedicatedThread(() => ({
  create: (name) => {
    throw new VectronError('UNIMPLEMENTED', `the link thread hosts no actors, asked for ${name}`);
  },
}));
