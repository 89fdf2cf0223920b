import { VectronError } from '../../base/errors';

/** One line that says which address of which server is the trouble. */
export function cannotListen(server: string, address: string, cause: Error): VectronError {
  const taken = /EADDRINUSE|address already in use/i.test(cause.message);
  const why = taken ? 'another program uses this port' : cause.message.replaceAll(/\s+/g, ' ');
  return new VectronError('FAILED_PRECONDITION', `cannot listen on ${address} for ${server}: ${why}`, { cause });
}
