import { groupTask } from '../../../src/runtime/node/thread-entry';
import { gossipSetup } from './gossip';

export default groupTask(gossipSetup);
