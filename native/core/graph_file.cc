#include "graph_file.h"

#include <faiss/impl/FaissException.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>

#include "checksum.h"
#include "failure.h"

namespace vectron {

namespace graph_file {

static Failure corrupt(const std::string& why) { return Failure("CORRUPT", "graph file: " + why); }

struct Header {
  char magic[8];
  uint32_t formatVersion;
  uint32_t dimension;
  uint32_t metric;
  uint32_t m;
  uint32_t efConstruction;
  uint32_t reserved;
  double appliedIndex;
  uint64_t count;
  uint64_t linked;
  uint64_t faissBytes;
  uint64_t ownBytes;
  uint64_t bodyChecksum;
  /** Of all fields above. */
  uint64_t headerChecksum;
};
/** Reads at most `left` bytes of verified content; beyond is corrupt. */
struct BodyReader : faiss::IOReader {
  BodyReader(FILE* file, uint64_t left) : file(file), left(left) {}
  size_t operator()(void* out, size_t size, size_t count) override {
    read(out, size * count);
    return count;
  }
  void read(void* out, size_t length) {
    if (length > left || std::fread(out, 1, length, file) != length) throw corrupt("shorter than its content");
    left -= length;
  }
  template <typename T>
  T value() {
    T v;
    read(&v, sizeof v);
    return v;
  }
  void text(std::string& out) {
    out.resize(value<uint16_t>());
    read(out.data(), out.size());
  }
  FILE* file;
  uint64_t left;
};

}  // namespace graph_file

using graph_file::corrupt;
using graph_file::BodyReader;
using graph_file::Header;

namespace {

constexpr char magic[8] = {'V', 'E', 'C', 'T', 'R', 'O', 'N', 'G'};
constexpr uint32_t formatVersion = 1;

static_assert(sizeof(Header) == 88, "the header has no padding");

uint64_t checksumOf(const Header& header) {
  Checksum checksum;
  checksum.feed(&header, offsetof(Header, headerChecksum));
  return checksum.value();
}

Failure ioFailure(const std::string& what) { return Failure("INTERNAL", what + ": " + std::strerror(errno)); }

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<FILE, CloseFile>;

File openFile(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (file == nullptr && errno == ENOENT && mode[0] == 'r') throw Failure("NOT_FOUND", path);
  if (file == nullptr) throw ioFailure("open " + path);
  return file;
}

/** Writes to the file and to the checksum. */
struct BodyWriter : faiss::IOWriter {
  explicit BodyWriter(FILE* file) : file(file) {}
  size_t operator()(const void* data, size_t size, size_t count) override {
    write(data, size * count);
    return count;
  }
  void write(const void* data, size_t length) {
    if (length > 0 && std::fwrite(data, 1, length, file) != length) throw ioFailure("write");
    checksum.feed(data, length);
    written += length;
  }
  template <typename T>
  void value(T v) {
    write(&v, sizeof v);
  }
  void text(std::string_view v) {
    value(static_cast<uint16_t>(v.size()));
    write(v.data(), v.size());
  }
  FILE* file;
  Checksum checksum;
  uint64_t written = 0;
};

Header verifiedHeader(FILE* file) {
  Header header;
  if (std::fread(&header, sizeof header, 1, file) != 1) throw corrupt("no whole header");
  if (std::memcmp(header.magic, magic, sizeof magic) != 0) throw corrupt("not one of ours");
  if (header.headerChecksum != checksumOf(header)) throw corrupt("the header's checksum does not hold");
  if (header.formatVersion != formatVersion) throw corrupt("format " + std::to_string(header.formatVersion));
  return header;
}

/** Leaves the file at the start of the body. */
Header verified(FILE* file) {
  const Header header = verifiedHeader(file);
  Checksum checksum;
  std::vector<char> chunk(1 << 20);
  uint64_t length = 0;
  for (size_t got = 0; (got = std::fread(chunk.data(), 1, chunk.size(), file)) > 0; length += got)
    checksum.feed(chunk.data(), got);
  if (std::ferror(file) != 0) throw ioFailure("read");
  if (length != header.faissBytes + header.ownBytes) throw corrupt("its length does not hold");
  if (checksum.value() != header.bodyChecksum) throw corrupt("its checksum does not hold");
  if (std::fseek(file, sizeof header, SEEK_SET) != 0) throw ioFailure("seek");
  return header;
}

void syncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) throw ioFailure("open " + folder);
  const int status = fsync(fd);
  close(fd);
  if (status != 0) throw ioFailure("sync " + folder);
}

/** What the checksum cannot say: that the arrays fit each other. A file of a faulty writer must not end the process. */
void checkArrays(const faiss::IndexHNSWFlat& index, const Options& options, const Header& header) {
  const faiss::HNSW& hnsw = index.hnsw;
  const auto* const flat = dynamic_cast<const faiss::IndexFlat*>(index.storage);
  const size_t n = header.count;
  const faiss::IndexHNSWFlat fresh(static_cast<int>(options.dimension), static_cast<int>(options.m));
  const bool shapes = flat != nullptr && static_cast<size_t>(index.ntotal) == n && static_cast<size_t>(flat->ntotal) == n &&
                      index.d == static_cast<int>(options.dimension) && flat->codes.size() == n * options.dimension * 4 &&
                      hnsw.levels.size() == n && hnsw.offsets.size() == n + 1 && hnsw.offsets[0] == 0 &&
                      hnsw.neighbors.size() == hnsw.offsets[n] && header.linked <= n &&
                      hnsw.cum_nneighbor_per_level == fresh.hnsw.cum_nneighbor_per_level;
  if (!shapes) throw corrupt("its arrays do not fit each other");
  const auto levelsMost = static_cast<int>(hnsw.cum_nneighbor_per_level.size()) - 1;
  for (size_t i = 0; i < n; i++) {
    const int levels = hnsw.levels[i];
    if (levels < 1 || levels > levelsMost) throw corrupt("a level is out of range");
    if (hnsw.offsets[i + 1] - hnsw.offsets[i] != static_cast<size_t>(hnsw.cum_nneighbor_per_level[levels]))
      throw corrupt("an offset is out of range");
  }
  for (size_t i = 0; i < n; i++)
    for (int level = 0; level < hnsw.levels[i]; level++)
      for (int at = hnsw.cum_nneighbor_per_level[level]; at < hnsw.cum_nneighbor_per_level[level + 1]; at++) {
        const int32_t neighbour = hnsw.neighbors[hnsw.offsets[i] + at];
        if (neighbour == -1) continue;
        if (neighbour < 0 || static_cast<uint64_t>(neighbour) >= header.linked || hnsw.levels[neighbour] <= level)
          throw corrupt("a link leads nowhere");
      }
  if (header.linked > 0 && (hnsw.entry_point < 0 || static_cast<uint64_t>(hnsw.entry_point) >= header.linked))
    throw corrupt("its entry point is out of range");
}

bool sameOptions(const Header& header, const Options& options) {
  return header.dimension == options.dimension && header.metric == static_cast<uint32_t>(options.metric) &&
         header.m == options.m;
}

}  // namespace

void GraphFile::save(ShardIndex& index, const std::string& path) {
  const std::string beside = path + ".new";
  Points& points = index.live();
  {
    const File file = openFile(beside, "wb");
    Header header = {};
    std::memcpy(header.magic, magic, sizeof magic);
    header.formatVersion = formatVersion;
    header.dimension = index.options_.dimension;
    header.metric = static_cast<uint32_t>(index.options_.metric);
    header.m = index.options_.m;
    header.efConstruction = index.options_.efConstruction;
    header.appliedIndex = index.appliedIndex();
    header.count = static_cast<uint64_t>(points.count());
    header.linked = static_cast<uint64_t>(points.linked());
    if (std::fseek(file.get(), sizeof header, SEEK_SET) != 0) throw ioFailure("seek");
    BodyWriter body(file.get());
    faiss::write_index(&points.faissIndex(), &body);
    header.faissBytes = body.written;
    for (int32_t i = 0; i < points.count(); i++) {
      body.text(points.id(i));
      body.value(points.version(i));
      body.value(static_cast<uint8_t>(points.isDead(i)));
    }
    for (const auto& [id, held] : index.held_) {
      if (held.offset >= 0) continue;
      body.text(id);
      body.value(held.version);
    }
    header.ownBytes = body.written - header.faissBytes;
    header.bodyChecksum = body.checksum.value();
    header.headerChecksum = checksumOf(header);
    std::rewind(file.get());
    if (std::fwrite(&header, sizeof header, 1, file.get()) != 1) throw ioFailure("write " + beside);
    if (std::fflush(file.get()) != 0 || fsync(fileno(file.get())) != 0) throw ioFailure("sync " + beside);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) throw ioFailure("rename " + beside);
  syncFolderOf(path);
}

void GraphFile::load(ShardIndex& index, const std::string& path) {
  const File file = openFile(path, "rb");
  const Options& options = index.options_;
  const Header header = verified(file.get());
  if (!sameOptions(header, options)) throw corrupt("it is of an index with other options");
  if (header.count > INT32_MAX) throw corrupt("it has too many points");
  BodyReader faissPart(file.get(), header.faissBytes);
  std::unique_ptr<faiss::Index> read;
  try {
    read.reset(faiss::read_index(&faissPart));
  } catch (const faiss::FaissException& error) {
    throw corrupt(error.what());
  }
  const auto* const hnsw = dynamic_cast<const faiss::IndexHNSWFlat*>(read.get());
  if (hnsw == nullptr || faissPart.left != 0) throw corrupt("its FAISS part is not an IndexHNSWFlat");
  checkArrays(*hnsw, options, header);
  const uint64_t capacity = std::max({options.capacity, header.count, uint64_t{64}});
  auto points = std::make_unique<Points>(options, capacity, 0);
  readOwn(index, BodyReader(file.get(), header.ownBytes), header, *hnsw, *points);
  index.points_ = std::move(points);
  index.appliedIndex_ = header.appliedIndex;
}

/** Ids, versions, tombstones and removals, into the index's map and into `points` together with the graph. */
void GraphFile::readOwn(ShardIndex& index, BodyReader own, const Header& header, const faiss::IndexHNSWFlat& hnsw,
                        Points& points) {
  std::vector<std::string_view> ids;
  std::vector<int64_t> versions;
  std::vector<uint32_t> labels;
  std::vector<int32_t> dead;
  std::string id;
  for (int32_t i = 0; i < static_cast<int32_t>(header.count); i++) {
    own.text(id);
    versions.push_back(own.value<int64_t>());
    auto& [key, held] = index.entryOf(id);
    ids.push_back(key);
    if (own.value<uint8_t>() != 0) {
      dead.push_back(i);
      labels.push_back(noLabel);
      continue;
    }
    if (held.offset >= 0) throw corrupt("an id is there twice");
    held = {versions.back(), i, index.labelCount_++};
    labels.push_back(held.label);
    index.liveCount_++;
  }
  while (own.left > 0) {
    own.text(id);
    index.entryOf(id).second = {own.value<int64_t>(), -1, noLabel};
  }
  points.adopt(hnsw, ids, versions, labels, static_cast<int32_t>(header.linked));
  for (const int32_t offset : dead) points.kill(offset);
}

void GraphFile::extractFaiss(const std::string& path, const std::string& target) {
  const File from = openFile(path, "rb");
  const Header header = verified(from.get());
  const File to = openFile(target, "wb");
  std::vector<char> chunk(1 << 20);
  for (uint64_t left = header.faissBytes; left > 0;) {
    const size_t length = std::min<uint64_t>(left, chunk.size());
    if (std::fread(chunk.data(), 1, length, from.get()) != length) throw ioFailure("read " + path);
    if (std::fwrite(chunk.data(), 1, length, to.get()) != length) throw ioFailure("write " + target);
    left -= length;
  }
  if (std::fflush(to.get()) != 0) throw ioFailure("write " + target);
}

}  // namespace vectron
