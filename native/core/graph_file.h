#pragma once
#include <string>

#include "shard_index.h"

namespace vectron {

/**
 * The file of an index: our header, a standard FAISS IndexHNSWFlat file, then ids, versions, tombstones and remembered
 * removals (graph_format.h). Checksums hold before anything else is read: a flipped bit is a file that is not used. Points
 * that were not linked yet are in the FAISS part as vectors without neighbours.
 *
 * A file is of one moment, though the index changes while it is written: rows up to the number counted at the moment never
 * change, tombstones are copied then, and the linker waits while the lists are written. Removals are looked up
 * afterwards, and later ones may be among them: a removal is newer than the row it ends, and is offered again by whoever
 * replays what came after the file's stamp.
 */
class GraphFile {
 public:
  /**
   * Written beside, synced, renamed, and the folder synced: the path names the old file or the new one, whole. Returns the
   * applied index it is of. Never more than one at a time for a path. Throws FAILED_PRECONDITION, and leaves no file, once
   * the index is destroyed.
   */
  static double save(ShardIndex& index, const std::string& path);
  /** Fills an empty index; throws Failure CORRUPT, or NOT_FOUND, and then leaves it empty. */
  static void load(ShardIndex& index, const std::string& path);
  /** Copies the FAISS part of a verified file to a file of its own. */
  static void extractFaiss(const std::string& path, const std::string& target);
};

}  // namespace vectron
