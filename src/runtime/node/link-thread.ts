import { VectronError } from '../../base/errors';
import { runDedicatedThread } from './thread-entry';

/** Entry file of a link thread without actors: it holds the link, as DedicatedThreadOptions.link says. */
runDedicatedThread(() => ({
  create: (name) => {
    throw new VectronError('UNIMPLEMENTED', `the link thread hosts no actors, asked for ${name}`);
  },
}));
