#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checksum.h"
#include "failure.h"
#include "points.h"

namespace vectron {

/**
 * How bytes lie in the file of an index. Little-endian throughout. Both formats are a header and a body: a standard FAISS
 * IndexHNSWFlat file (the fourcc IHNf), then our own part.
 *
 *  1: the FAISS part follows the header; one checksum over the body.
 *  2: the FAISS part is placed so that the vectors at its end begin with a page, and can be mapped. The body has a checksum
 *     for each chunk, so that several threads compute them, and the header that of all these.
 */
namespace graph_format {

constexpr uint32_t oldest = 1;
constexpr uint32_t newest = 2;
/** For ever: checksums depend on it. */
constexpr uint64_t chunkBytes = 4 * 1024 * 1024;

/** What FAISS puts in front of the vectors: the fourcc of their storage, its header, their number. */
constexpr uint64_t storageHeadBytes = 4 + 33 + 8;

inline Failure corrupt(const std::string& why) { return Failure("CORRUPT", "graph file: " + why); }
/** With what the system says. */
Failure ioFailure(const std::string& what);

struct Header {
  uint32_t formatVersion = newest;
  uint32_t dimension = 0;
  uint32_t metric = 0;
  uint32_t m = 0;
  uint32_t efConstruction = 0;
  /** 1: links were made by vectors, not by codes. Older programs write and read 0. */
  uint32_t linkedByVectors = 0;
  double appliedIndex = 0;
  uint64_t count = 0;
  uint64_t linked = 0;
  uint64_t faissBytes = 0;
  uint64_t ownBytes = 0;
  uint64_t bodyChecksum = 0;
  /** Where parts begin. Not stored in format 1, where it follows. */
  uint64_t faissAt = 0;
  /** Where the body begins; not stored. */
  uint64_t bodyAt = 0;

  uint64_t vectorBytes() const { return count * dimension * sizeof(float); }
  uint64_t vectorsAt() const { return faissAt + faissBytes - vectorBytes(); }
  uint64_t ownAt() const { return faissAt + faissBytes; }
};

constexpr uint64_t headerBytes = 96;

/** With magic, and with its own checksum at its end. */
std::vector<uint8_t> encodeHeader(const Header& header);
/** Of a file that is so long. Throws CORRUPT. */
Header readHeader(int file, uint64_t fileBytes);
/** Compares the body's checksum with what is there, on several threads. Throws CORRUPT. */
void verifyBody(int file, const Header& header, uint64_t fileBytes);

/** What FAISS writes before the vectors: everything of the graph, as it is while the caller keeps the linker away. */
class FaissHead {
 public:
  FaissHead(const Options& options, const Points& points, int32_t count, Entry entry)
      : options_(options), points_(points), count_(count), entry_(entry) {}
  uint64_t bytes() const;
  /** `write` takes pieces: (data, length). */
  template <typename Write>
  void writeTo(Write write) const;

 private:
  void indexHead(std::vector<uint8_t>& out, const char* fourcc) const;

  const Options& options_;
  const Points& points_;
  const int32_t count_;
  const Entry entry_;
};

/** The graph in the FAISS part of a verified body. */
struct FaissGraph {
  StoredGraph arrays;
  int32_t entryPoint = -1;
};
/** `part` is what lies before the vectors. Throws CORRUPT unless it is an index of these options and its arrays fit each other. */
FaissGraph parseFaissHead(const uint8_t* part, uint64_t length, const Options& options, const Header& header);

template <typename T>
void appendValue(std::vector<uint8_t>& out, T value) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

/** Points whose lists are put together at a time. */
constexpr int32_t writeStep = 1024;

template <typename Write>
void FaissHead::writeTo(Write write) const {
  const faiss::HNSW& hnsw = points_.hnsw();
  std::vector<uint8_t> out;
  const auto vectorOf = [&](const auto& values) {
    appendValue<uint64_t>(out, values.size());
    for (const auto& value : values) appendValue(out, value);
  };
  const auto flush = [&] {
    write(out.data(), out.size());
    out.clear();
  };
  const auto n = static_cast<size_t>(count_);
  indexHead(out, "IHNf");
  vectorOf(hnsw.assign_probas);
  vectorOf(hnsw.cum_nneighbor_per_level);
  appendValue<uint64_t>(out, n);
  flush();
  write(hnsw.levels.data(), n * sizeof(int));
  appendValue<uint64_t>(out, n + 1);
  flush();
  write(hnsw.offsets.data(), (n + 1) * sizeof(size_t));
  appendValue<uint64_t>(out, hnsw.offsets.data()[n]);
  for (int32_t i = 0; i < count_; i++) {
    for (int32_t level = 0; level <= points_.level(i); level++) {
      const int32_t* const list = points_.list(i, level);
      for (int32_t j = 0; j < points_.slots(level); j++) appendValue(out, loadRelaxed(list + j));
    }
    if (i % writeStep == 0) flush();
  }
  for (const int32_t value : {entry_.point, entry_.level, hnsw.efConstruction, hnsw.efSearch, hnsw.upper_beam})
    appendValue(out, value);
  indexHead(out, options_.form() == Form::squaredL2 ? "IxF2" : "IxFI");
  appendValue<uint64_t>(out, n * options_.dimension);
  flush();
}

}  // namespace graph_format
}  // namespace vectron
