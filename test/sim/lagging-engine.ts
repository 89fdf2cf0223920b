import { unlinkedPointsMax } from '../../src/base/limits';
import { FlatEngine, type FlatFile } from '../../src/vector/flat-index';
import type { IndexOptions, VectorIndex } from '../../src/vector/ports';

/** The flat engine, whose indexes have no graph, with the one thing of a graph that others see: points that wait for it. */
export class LaggingEngine extends FlatEngine {
  constructor(
    files: Map<string, FlatFile>,
    loadPolls: number,
    /** Whether points are written faster than a graph would take them in. */
    private readonly lags: () => boolean,
  ) {
    super(files, loadPolls);
  }

  override open(options: IndexOptions, path: string | null): VectorIndex {
    const index = super.open(options, path);
    Object.defineProperty(index, 'unlinked', {
      configurable: true,
      get: () => (this.lags() ? unlinkedPointsMax + 1 : 0),
    });
    return index;
  }
}
