import { runDedicatedThread } from '../../../src/runtime/node/thread-entry';
import { gossipSetup } from './gossip';

runDedicatedThread(gossipSetup);
