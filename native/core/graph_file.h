#pragma once
#include <string>

#include "shard_index.h"

namespace vectron {
namespace graph_file {
struct Header;
struct BodyReader;
}  // namespace graph_file

/**
 * The file of an index: our header, then a standard FAISS IndexHNSWFlat file (the fourcc IHNf), then ids, versions,
 * tombstones and remembered removals. Everything is little-endian. The header names the length and the XXH64 checksum of
 * what follows, and ends with its own; both hold before FAISS sees a byte, because FAISS trusts what it reads. Points
 * that were not linked yet are in the FAISS part as vectors without neighbours.
 */
class GraphFile {
 public:
  /** Written beside, synced, renamed, and the folder synced: the path names the old file or the new one, whole. */
  static void save(ShardIndex& index, const std::string& path);
  /** Fills an empty index; throws Failure CORRUPT, or NOT_FOUND, and then leaves it empty. */
  static void load(ShardIndex& index, const std::string& path);
  /** Copies the FAISS part of a verified file to a file of its own. */
  static void extractFaiss(const std::string& path, const std::string& target);

 private:
  static void readOwn(ShardIndex& index, graph_file::BodyReader own, const graph_file::Header& header,
                      const faiss::IndexHNSWFlat& hnsw, Points& points);
};

}  // namespace vectron
