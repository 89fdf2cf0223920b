#include "graph_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <limits>

#include "failure.h"
#include "file_writer.h"
#include "graph_format.h"
#include "parallel.h"
#include "precision.h"

namespace vectron {

using graph_format::corrupt;
using graph_format::FaissGraph;
using graph_format::FaissHead;
using graph_format::Header;
using graph_format::ioFailure;

namespace {

/** Ids whose removals are looked up while writers wait. */
constexpr size_t removalsStep = 512;
/** Vectors a thread encodes at a time. */
constexpr uint64_t encodeStep = 4096;

/** Our own part of a verified body. */
class OwnReader {
 public:
  OwnReader(int file, uint64_t from, uint64_t length) : bytes_(length) { readAt(file, from, bytes_.data(), length); }
  template <typename T>
  T value() {
    T v;
    std::memcpy(&v, take(sizeof v), sizeof v);
    return v;
  }
  std::string_view text() {
    const auto length = value<uint16_t>();
    return {take(length), length};
  }
  bool atEnd() const { return at_ == bytes_.size(); }

 private:
  const char* take(size_t length) {
    if (length > bytes_.size() - at_) throw corrupt("shorter than its content");
    const char* const here = bytes_.data() + at_;
    at_ += length;
    return here;
  }
  std::vector<char> bytes_;
  size_t at_ = 0;
};

bool sameOptions(const Header& header, const Options& options) {
  return header.dimension == options.dimension && header.metric == static_cast<uint32_t>(options.metric) &&
         header.m == options.m;
}

float encodeAll(Points& points, int32_t count) {
  const uint64_t pieces = (static_cast<uint64_t>(count) + encodeStep - 1) / encodeStep;
  std::vector<float> longest(pieces + 1, 0);
  inParallel(pieces, [&](uint64_t i) {
    const auto from = static_cast<int32_t>(i * encodeStep);
    longest[i] = points.encode(from, static_cast<int32_t>(std::min<uint64_t>((i + 1) * encodeStep, static_cast<uint64_t>(count))));
  });
  return *std::max_element(longest.begin(), longest.end());
}

Header headerOf(const Options& options, const Moment& moment) {
  Header header;
  header.dimension = options.dimension;
  header.metric = static_cast<uint32_t>(options.metric);
  header.m = options.m;
  header.efConstruction = options.efConstruction;
  header.linkedByVectors = moment.points->linkedByVectors() ? 1 : 0;
  header.appliedIndex = moment.appliedIndex;
  header.count = static_cast<uint64_t>(moment.count);
  header.linked = static_cast<uint64_t>(moment.linked);
  return header;
}

/** The FAISS part begins so that the vectors at its end begin with a page. */
void place(Header& header, uint64_t headBytes) {
  const uint64_t page = VectorMemory::pageBytes;
  header.bodyAt = graph_format::headerBytes;
  header.faissAt = (header.bodyAt + headBytes + page - 1) / page * page - headBytes;
  header.faissBytes = headBytes + header.vectorBytes();
}

bool sameFile(const std::string& a, const std::string& b) {
  struct stat one, other;
  return stat(a.c_str(), &one) == 0 && stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

void writeRows(BodyWriter& body, const Moment& moment) {
  const Points& points = *moment.points;
  for (int32_t i = 0; i < moment.count; i++) {
    body.text(points.id(i));
    body.value(points.version(i));
    body.value(static_cast<uint8_t>(moment.wasDead(i)));
  }
}

struct RemoveUnlessKept {
  const std::string& path;
  bool kept = false;
  ~RemoveUnlessKept() {
    if (!kept) unlink(path.c_str());
  }
};

}  // namespace

double GraphFile::save(ShardIndex& index, const std::string& path) {
  const std::string beside = path + ".new";
  RemoveUnlessKept leftOver{beside};
  const OpenFile file(beside, O_RDWR | O_CREAT | O_TRUNC);
  std::unique_lock<ReadWriteLock> linking(index.linking_);
  const Moment moment = index.momentNow();
  const Options& options = index.options_;
  Header header = headerOf(options, moment);
  const FaissHead head(options, *moment.points, moment.count, moment.entry);
  place(header, head.bytes());
  BodyWriter body(file.get(), header.bodyAt);
  body.zeros(header.faissAt - header.bodyAt);
  head.writeTo([&](const void* data, size_t length) { body.write(data, length); });
  linking.unlock();
  body.write(moment.points->vector(0), header.vectorBytes());
  writeRows(body, moment);
  for (size_t from = 0; from < moment.idCount; from += removalsStep)
    for (const auto& [id, version] : index.removalsOf(moment, from, std::min(from + removalsStep, moment.idCount))) {
      body.text(id);
      body.value(version);
    }
  header.ownBytes = body.at() - header.ownAt();
  header.bodyChecksum = body.finish();
  const std::vector<uint8_t> bytes = graph_format::encodeHeader(header);
  writeAt(file.get(), 0, bytes.data(), bytes.size());
  if (fsync(file.get()) != 0) throw ioFailure("sync " + beside);
  index.unlessDestroyed([&] {
    if (std::rename(beside.c_str(), path.c_str()) != 0) throw ioFailure("rename " + beside);
  });
  leftOver.kept = true;
  syncFolderOf(path);
  if (!options.folder.empty()) moment.points->moveVectors(file.get(), header.vectorsAt(), moment.count);
  return moment.appliedIndex;
}

void GraphFile::load(ShardIndex& index, const std::string& path) {
  const OpenFile file(path, O_RDONLY);
  const uint64_t fileBytes = file.length();
  const Options& options = index.options_;
  const Header header = graph_format::readHeader(file.get(), fileBytes);
  graph_format::verifyBody(file.get(), header, fileBytes);
  if (!sameOptions(header, options)) throw corrupt("it is of an index with other options");
  std::vector<uint8_t> head(header.vectorsAt() - header.faissAt);
  readAt(file.get(), header.faissAt, head.data(), head.size());
  const FaissGraph graph = graph_format::parseFaissHead(head.data(), head.size(), options, header);
  const auto count = static_cast<int32_t>(header.count);
  auto points = std::make_shared<Points>(options, std::max({options.capacity, header.count, uint64_t{64}}), 0);
  points->adoptGraph(graph.arrays);
  points->adoptVectors(file.get(), header.vectorsAt(), count);
  std::future<float> longest = std::async(std::launch::async, [&] { return encodeAll(*points, count); });

  OwnReader own(file.get(), header.ownAt(), header.ownBytes);
  index.held_.reserve(header.count);
  for (int32_t i = 0; i < count; i++) {
    const std::string_view id = own.text();
    const auto version = own.value<int64_t>();
    const bool dead = own.value<uint8_t>() != 0;
    auto& [key, held] = index.entryOf(id);
    if (!dead && held.label != noLabel) throw corrupt("an id is there twice");
    points->adoptPoint(i, key, version, dead ? noLabel : index.labelCount_.load());
    if (dead) points->kill(i);
    else held = {version, index.labelCount_++};
  }
  index.liveCount_ = index.labelCount_.load();
  std::vector<std::pair<std::string_view, int64_t>> removals;
  while (!own.atEnd()) {
    const std::string_view id = own.text();
    removals.emplace_back(id, own.value<int64_t>());
  }
  points->countAdopted(count, static_cast<int32_t>(header.linked), graph.entryPoint, longest.get());
  points->adoptLinks(header.linkedByVectors != 0, misleads(options, index.kernels_, *points));
  (void)index.swap(std::move(points));
  for (const auto& [id, version] : removals) index.forget(index.entryOf(id).second, version);
  index.appliedIndex_ = header.appliedIndex;
}

void GraphFile::extractFaiss(const std::string& path, const std::string& target) {
  const OpenFile from(path, O_RDONLY);
  const uint64_t fileBytes = from.length();
  const Header header = graph_format::readHeader(from.get(), fileBytes);
  graph_format::verifyBody(from.get(), header, fileBytes);
  if (sameFile(path, target)) throw invalid("target", "is the graph file");
  const OpenFile to(target, O_WRONLY | O_CREAT | O_TRUNC);
  std::vector<char> chunk(1 << 20);
  for (uint64_t at = 0; at < header.faissBytes; at += chunk.size()) {
    const auto length = static_cast<size_t>(std::min<uint64_t>(header.faissBytes - at, chunk.size()));
    readAt(from.get(), header.faissAt + at, chunk.data(), length);
    writeAt(to.get(), at, chunk.data(), length);
  }
}

}  // namespace vectron
