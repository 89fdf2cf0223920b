import type { ReplicaId } from '../base/ids';

/** Leadership on its way to another voter (thesis, 3.10): given up after an election timeout. */
export class Transfer {
  private elapsedTicks = 0;

  constructor(readonly to: ReplicaId) {}

  tick(ticksMax: number): 'under way' | 'late' {
    return ++this.elapsedTicks >= ticksMax ? 'late' : 'under way';
  }
}
