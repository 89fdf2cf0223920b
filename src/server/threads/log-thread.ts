import { LogWriter } from '../../actors/log-writer';
import { runDedicatedThread } from '../../runtime/node/thread-entry';
import { attachLog, type StoreHandles } from '../../storage/node/machine-stores';

/** How long a truncation waits for others before the state store is synced for all of them. */
const stateSyncMs = 2_000;

/** Entry file of a machine's log thread: one log writer, which takes the log store over from its predecessor. */
runDedicatedThread(({ workerData }) => {
  const log = attachLog(workerData as StoreHandles);
  return {
    create: () => new LogWriter({ engine: log.engine, state: log.state, stateSyncMs }),
    close: () => log.close(),
  };
});
