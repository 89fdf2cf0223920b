#include "graph_format.h"

#include <cerrno>
#include <cstring>

#include "parallel.h"

namespace vectron {
namespace graph_format {
namespace {

constexpr char magic[8] = {'V', 'E', 'C', 'T', 'R', 'O', 'N', 'G'};
/** Format 1 has four bytes of nothing where format 2 has them too, and no faissAt. */
constexpr uint64_t headerBytesOf1 = 88;

uint64_t checksumOf(const uint8_t* bytes, size_t length) {
  Checksum checksum;
  checksum.feed(bytes, length);
  return checksum.value();
}

template <typename T>
T take(const uint8_t*& at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  at += sizeof value;
  return value;
}

uint64_t sequentialChecksum(int file, uint64_t from, uint64_t to) {
  Checksum checksum;
  std::vector<uint8_t> chunk(1 << 20);
  while (from < to) {
    const auto length = static_cast<size_t>(std::min<uint64_t>(chunk.size(), to - from));
    readAt(file, from, chunk.data(), length);
    checksum.feed(chunk.data(), length);
    from += length;
  }
  return checksum.value();
}

/** FAISS's arrays one after another; each length is checked before it is believed. */
class Parser {
 public:
  Parser(const uint8_t* at, uint64_t left) : at_(at), left_(left) {}
  const uint8_t* bytes(uint64_t length) {
    if (length > left_) throw corrupt("shorter than its content");
    const uint8_t* const here = at_;
    at_ += length;
    left_ -= length;
    return here;
  }
  template <typename T>
  T value() {
    const uint8_t* here = bytes(sizeof(T));
    return take<T>(here);
  }
  /** Copied: in the file it lies at any address. */
  template <typename T>
  std::vector<T> array() {
    const auto length = value<uint64_t>();
    if (length > left_ / sizeof(T)) throw corrupt("shorter than its content");
    std::vector<T> out(length);
    if (length > 0) std::memcpy(out.data(), bytes(length * sizeof(T)), length * sizeof(T));
    return out;
  }
  uint64_t left() const { return left_; }

 private:
  const uint8_t* at_;
  uint64_t left_;
};

void parseIndexHead(Parser& parser, const char* fourcc, const Options& options, uint64_t count) {
  const bool named = std::memcmp(parser.bytes(4), fourcc, 4) == 0;
  const auto dimension = parser.value<int32_t>();
  const auto total = parser.value<int64_t>();
  parser.bytes(2 * sizeof(int64_t));
  const auto trained = parser.value<uint8_t>();
  const auto metric = parser.value<int32_t>();
  const int32_t expected = options.form() == Form::squaredL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
  if (!named || dimension != static_cast<int32_t>(options.dimension) || static_cast<uint64_t>(total) != count ||
      trained != 1 || metric != expected)
    throw corrupt("its FAISS part is not an IndexHNSWFlat of these options");
}

void checkLinks(const FaissGraph& graph, const std::vector<int>& cumulative, const Header& header) {
  const StoredGraph& arrays = graph.arrays;
  const auto most = static_cast<int32_t>(cumulative.size()) - 1;
  uint64_t expected = 0;
  for (size_t i = 0; i < arrays.levels.size(); i++) {
    const int32_t level = arrays.levels[i];
    if (level < 1 || level > most) throw corrupt("a level is out of range");
    if (arrays.offsets[i] != expected) throw corrupt("an offset is out of range");
    expected += static_cast<uint64_t>(cumulative[static_cast<size_t>(level)]);
  }
  if (arrays.offsets.back() != expected || arrays.neighbours.size() != expected) throw corrupt("its arrays do not fit each other");
  inParallel(processors(), [&](uint64_t part) {
    const size_t from = header.count * part / processors(), to = header.count * (part + 1) / processors();
    for (size_t i = from; i < to; i++)
      for (int32_t level = 0; level < arrays.levels[i]; level++)
        for (int at = cumulative[static_cast<size_t>(level)]; at < cumulative[static_cast<size_t>(level) + 1]; at++) {
          const int32_t neighbour = arrays.neighbours[arrays.offsets[i] + static_cast<size_t>(at)];
          if (neighbour == -1) continue;
          if (neighbour < 0 || static_cast<uint64_t>(neighbour) >= header.linked ||
              arrays.levels[static_cast<size_t>(neighbour)] <= level)
            throw corrupt("a link leads nowhere");
        }
  });
  if (header.linked > 0 && (graph.entryPoint < 0 || static_cast<uint64_t>(graph.entryPoint) >= header.linked))
    throw corrupt("its entry point is out of range");
}

}  // namespace

Failure ioFailure(const std::string& what) { return Failure("INTERNAL", what + ": " + std::strerror(errno)); }

std::vector<uint8_t> encodeHeader(const Header& h) {
  std::vector<uint8_t> out(magic, magic + sizeof magic);
  for (const uint32_t value : {newest, h.dimension, h.metric, h.m, h.efConstruction, h.linkedByVectors}) appendValue(out, value);
  appendValue(out, h.appliedIndex);
  for (const uint64_t value : {h.count, h.linked, h.faissBytes, h.ownBytes, h.faissAt, h.bodyChecksum})
    appendValue(out, value);
  appendValue(out, checksumOf(out.data(), out.size()));
  return out;
}

Header readHeader(int file, uint64_t fileBytes) {
  uint8_t bytes[headerBytes] = {};
  if (fileBytes < headerBytesOf1) throw corrupt("no whole header");
  readAt(file, 0, bytes, std::min(fileBytes, headerBytes));
  const uint8_t* at = bytes;
  if (std::memcmp(at, magic, sizeof magic) != 0) throw corrupt("not one of ours");
  at += sizeof magic;
  Header header;
  header.formatVersion = take<uint32_t>(at);
  header.dimension = take<uint32_t>(at);
  header.metric = take<uint32_t>(at);
  header.m = take<uint32_t>(at);
  header.efConstruction = take<uint32_t>(at);
  header.linkedByVectors = take<uint32_t>(at);
  header.appliedIndex = take<double>(at);
  header.count = take<uint64_t>(at);
  header.linked = take<uint64_t>(at);
  header.faissBytes = take<uint64_t>(at);
  header.ownBytes = take<uint64_t>(at);
  header.bodyAt = header.faissAt = headerBytesOf1;
  if (header.formatVersion >= 2) {
    header.bodyAt = headerBytes;
    header.faissAt = take<uint64_t>(at);
  }
  header.bodyChecksum = take<uint64_t>(at);
  const auto length = static_cast<size_t>(at - bytes);
  if (take<uint64_t>(at) != checksumOf(bytes, length)) throw corrupt("the header's checksum does not hold");
  if (header.formatVersion < oldest || header.formatVersion > newest)
    throw corrupt("format " + std::to_string(header.formatVersion));
  return header;
}

void verifyBody(int file, const Header& header, uint64_t fileBytes) {
  const bool fits = header.count <= INT32_MAX && header.dimension <= dimensionMax && header.linked <= header.count &&
                    header.faissAt >= header.bodyAt && header.faissAt <= fileBytes &&
                    header.faissBytes <= fileBytes - header.faissAt && header.faissBytes >= header.vectorBytes() + storageHeadBytes &&
                    fileBytes - header.faissAt - header.faissBytes == header.ownBytes;
  if (!fits) throw corrupt("its length does not hold");
  if (header.formatVersion == 1) {
    if (sequentialChecksum(file, header.bodyAt, fileBytes) != header.bodyChecksum) throw corrupt("its checksum does not hold");
    return;
  }
  const uint64_t chunks = (fileBytes - header.bodyAt + chunkBytes - 1) / chunkBytes;
  std::vector<uint64_t> checksums(chunks);
  inParallel(chunks, [&](uint64_t i) {
    const uint64_t from = header.bodyAt + i * chunkBytes;
    checksums[i] = sequentialChecksum(file, from, std::min(from + chunkBytes, fileBytes));
  });
  const auto* const all = reinterpret_cast<const uint8_t*>(checksums.data());
  if (checksumOf(all, chunks * sizeof(uint64_t)) != header.bodyChecksum) throw corrupt("its checksum does not hold");
}

void FaissHead::indexHead(std::vector<uint8_t>& out, const char* fourcc) const {
  constexpr int64_t unused = 1 << 20;
  out.insert(out.end(), fourcc, fourcc + 4);
  appendValue(out, static_cast<int32_t>(options_.dimension));
  appendValue(out, static_cast<int64_t>(count_));
  appendValue(out, unused);
  appendValue(out, unused);
  appendValue<uint8_t>(out, 1);
  appendValue<int32_t>(out, options_.form() == Form::squaredL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT);
}

uint64_t FaissHead::bytes() const {
  const faiss::HNSW& hnsw = points_.hnsw();
  const auto n = static_cast<uint64_t>(count_);
  return storageHeadBytes - 8 + 5 * 8 + hnsw.assign_probas.size() * 8 + hnsw.cum_nneighbor_per_level.size() * 4 + n * 4 +
         (n + 1) * 8 + hnsw.offsets.data()[n] * 4 + 5 * 4 + storageHeadBytes;
}

FaissGraph parseFaissHead(const uint8_t* part, uint64_t length, const Options& options, const Header& header) {
  Parser parser(part, length);
  parseIndexHead(parser, "IHNf", options, header.count);
  parser.array<double>();
  const auto cumulative = parser.array<int>();
  if (cumulative != faiss::HNSW(static_cast<int>(options.m)).cum_nneighbor_per_level)
    throw corrupt("it has other numbers of links");
  FaissGraph graph;
  graph.arrays.levels = parser.array<int32_t>();
  graph.arrays.offsets = parser.array<uint64_t>();
  graph.arrays.neighbours = parser.array<int32_t>();
  if (graph.arrays.levels.size() != header.count || graph.arrays.offsets.size() != header.count + 1)
    throw corrupt("its arrays do not fit each other");
  graph.entryPoint = parser.value<int32_t>();
  parser.bytes(4 * sizeof(int32_t));
  parseIndexHead(parser, options.form() == Form::squaredL2 ? "IxF2" : "IxFI", options, header.count);
  if (parser.value<uint64_t>() != header.count * options.dimension || parser.left() != 0)
    throw corrupt("its vectors do not fit");
  checkLinks(graph, cumulative, header);
  return graph;
}

}  // namespace graph_format
}  // namespace vectron
