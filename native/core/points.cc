#include "points.h"

#include <algorithm>
#include <new>

#include "failure.h"

namespace vectron {
namespace {

/** Upper levels take about 1/(m-1) of a list of m slots a point; a quarter more than the mean leaves room for luck. */
uint64_t listCapacity(uint64_t capacity, uint64_t m) {
  return capacity * 2 * m + capacity * m * 5 / (4 * (m - 1)) + 64 * m;
}

/** From this much of vectors on: a small shard shall not take pages of two megabytes for a few points. */
constexpr size_t hugeBytesLeast = 16 * 1024 * 1024;

}  // namespace

Points::Points(const Options& options, uint64_t capacity, uint32_t labels)
    : shape(options.dimension),
      dimension_(options.dimension),
      m_(static_cast<int32_t>(options.m)),
      quantised_(options.quantised),
      capacity_(capacity),
      index_(static_cast<int>(options.dimension), static_cast<int>(options.m),
             options.form() == Form::squaredL2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT),
      vectorMemory_(capacity * rowBytes(), options.folder),
      codeMemory_(quantised_ ? capacity * shape.stride : 0),
      sumsMemory_(quantised_ && !shape.sumsInRow ? capacity : 0),
      lengthMemory_(quantised_ ? 0 : capacity),
      groundMemory_(vectorMemory_.isFile() ? 0 : capacity * 2 * options.m),
      idMemory_(capacity),
      versionMemory_(capacity),
      tombstoneMemory_(capacity / 64 + 1),
      labelMemory_(capacity),
      rowMemory_(std::max<uint64_t>(capacity, labels)) {
  index_.hnsw.efConstruction = static_cast<int>(options.efConstruction);
  index_.hnsw.levels.reserve(capacity);
  index_.hnsw.offsets.reserve(capacity + 1);
  index_.hnsw.neighbors.reserve(listCapacity(capacity, options.m));
  bind();
}

/** Takes the addresses that readers use. Nothing moves afterwards. */
void Points::bind() {
  vectors_ = vectorMemory_.data();
  codes_ = codeMemory_.data();
  sums_ = sumsMemory_.data();
  lengths_ = lengthMemory_.data();
  lists_ = index_.hnsw.neighbors.data();
  ground_ = vectorMemory_.isFile() ? nullptr : groundMemory_.data();
  offsets_ = index_.hnsw.offsets.data();
  levels_ = index_.hnsw.levels.data();
  ids_ = idMemory_.data();
  versions_ = versionMemory_.data();
  tombstones_ = tombstoneMemory_.data();
  labels_ = labelMemory_.data();
  labelled_ = rowMemory_.data();
  for (size_t level = 0; level + 1 < index_.hnsw.cum_nneighbor_per_level.size() && level < 64; level++)
    levelStart_[level] = index_.hnsw.cum_nb_neighbors(static_cast<int>(level));
}

void Points::adviseHuge() {
  adviseHugePages(codes_, codeMemory_.bytes());
  adviseHugePages(sums_, sumsMemory_.bytes());
  adviseHugePages(groundMemory_.data(), groundMemory_.bytes());
  adviseHugePages(lists_, index_.hnsw.neighbors.capacity() * sizeof(int32_t));
  vectorMemory_.adviseHuge();
}

bool Points::full() const {
  const auto& hnsw = index_.hnsw;
  const size_t most = static_cast<size_t>(hnsw.cum_nneighbor_per_level.back());
  return static_cast<uint64_t>(count_) >= capacity_ || hnsw.neighbors.size() + most > hnsw.neighbors.capacity();
}

int32_t Points::append(const float* vector, std::string_view id, int64_t version, uint32_t label,
                       int levels) {
  if (full() || label >= labelCapacity()) throw Failure("INTERNAL", "append to full points");
  faiss::HNSW& hnsw = index_.hnsw;
  const int32_t offset = count_;
  vectorMemory_.makeRoom((static_cast<size_t>(offset) + 1) * rowBytes());
  std::copy_n(vector, dimension_, vectors_ + static_cast<size_t>(offset) * dimension_);
  hnsw.levels.push_back(levels > 0 ? levels : hnsw.random_level() + 1);
  hnsw.offsets.push_back(hnsw.offsets.back() + static_cast<size_t>(hnsw.cum_nb_neighbors(hnsw.levels.back())));
  hnsw.neighbors.resize(hnsw.offsets.back(), -1);
  index_.ntotal = offset + 1;
  std::fill_n(list(offset, 0), 2 * m_, -1);
  note(offset, id, version, label);
  __atomic_store_n(&count_, offset + 1, __ATOMIC_RELEASE);
  __atomic_store_n(&labelled_[label], offset + 1, __ATOMIC_RELEASE);
  if (static_cast<size_t>(offset) == hugeBytesLeast / rowBytes()) adviseHuge();
  return offset;
}

float Points::measure(int32_t offset) {
  if (!quantised_) return lengths_[offset] = kernels().dot(vector(offset), vector(offset), dimension_);
  RowSums& sums = rows().sumsOf(offset);
  encodeRow(shape, vector(offset), rows().row(offset), sums);
  return lengthOf(shape, sums);
}

void Points::note(int32_t offset, std::string_view id, int64_t version, uint32_t label) {
  const float length = std::max(longest_, measure(offset));
  __atomic_store(&longest_, &length, __ATOMIC_RELAXED);
  ids_[offset] = id;
  versions_[offset] = version;
  labels_[offset] = label;
}

void Points::kill(int32_t offset) {
  if (isDead(offset)) return;
  __atomic_fetch_or(&tombstones_[offset >> 6], uint64_t{1} << (offset & 63), __ATOMIC_RELAXED);
  __atomic_fetch_add(&dead_, 1, __ATOMIC_RELAXED);
}

Entry Points::entry() const {
  const int64_t packed = __atomic_load_n(&entry_, __ATOMIC_ACQUIRE);
  if (packed < 0) return {};
  return {static_cast<int32_t>(packed & 0xffffffff), static_cast<int32_t>(packed >> 32)};
}

void Points::publishLink(int32_t offset) {
  __atomic_store_n(&linked_, offset + 1, __ATOMIC_RELEASE);
  if (level(offset) <= entry().level) return;
  __atomic_store_n(&entry_, (static_cast<int64_t>(level(offset)) << 32) | offset, __ATOMIC_RELEASE);
}

void Points::judge(int32_t count, bool measuresVectors) {
  __atomic_store_n(&judged_, count, __ATOMIC_RELAXED);
  if (linked() == 0) linkedByVectors_ = measuresVectors;
  __atomic_store_n(&measuresVectors_, measuresVectors, __ATOMIC_RELAXED);
}

void Points::adoptLinks(bool byVectors, bool measuresVectors) {
  judge(count_, measuresVectors || byVectors);
  if (linked_ > 0) linkedByVectors_ = byVectors;
}

void Points::judgeLike(const Points& other) { judge(other.judged(), other.measuresVectors()); }

void Points::copyFrom(const Points& other) {
  copyFirst(other, other.count_);
  copyRest(other);
}

void Points::copyFirst(const Points& other, int32_t count) {
  const auto n = static_cast<size_t>(count);
  faiss::HNSW& hnsw = index_.hnsw;
  if (n * rowBytes() >= hugeBytesLeast) adviseHuge();
  vectorMemory_.makeRoom(n * rowBytes());
  std::copy_n(other.vectors_, n * dimension_, vectors_);
  hnsw.levels.insert(hnsw.levels.end(), other.levels_, other.levels_ + n);
  hnsw.offsets.insert(hnsw.offsets.end(), other.offsets_ + 1, other.offsets_ + n + 1);
  hnsw.neighbors.insert(hnsw.neighbors.end(), other.lists_, other.lists_ + other.offsets_[n]);
  index_.ntotal = count;
  bind();
  if (ground_ != nullptr) std::copy_n(other.ground_, n * static_cast<size_t>(2 * m_), ground_);
  for (int32_t i = 0; i < count; i++) note(i, other.id(i), other.version(i), other.label(i));
  linked_ = std::min(other.linked(), count);
  count_ = count;
  entry_ = other.entry_;
  judgeLike(other);
  linkedByVectors_ = other.linkedByVectors_;
}

void Points::copyRest(const Points& other) {
  for (int32_t i = count_; i < other.count_; i++)
    append(other.vector(i), other.id(i), other.version(i), other.label(i), other.level(i) + 1);
  std::copy_n(other.labelled_, std::min(other.rowMemory_.size(), rowMemory_.size()), labelled_);
  index_.hnsw.rng = other.index_.hnsw.rng;
  std::copy_n(other.tombstones_, other.count_ / 64 + 1, tombstones_);
  dead_ = other.dead_;
}

void Points::adoptGraph(const StoredGraph& graph) {
  const size_t n = graph.levels.size();
  faiss::HNSW& hnsw = index_.hnsw;
  if (n * rowBytes() >= hugeBytesLeast) adviseHuge();
  // Nobody reads yet, so it does no harm that an unlikely crowd of high levels moves the lists.
  hnsw.levels.assign(graph.levels.begin(), graph.levels.end());
  hnsw.offsets.assign(graph.offsets.begin(), graph.offsets.end());
  hnsw.neighbors.assign(graph.neighbours.begin(), graph.neighbours.end());
  index_.ntotal = static_cast<int64_t>(n);
  bind();
  if (ground_ == nullptr) return;
  for (int32_t i = 0; i < static_cast<int32_t>(n); i++) std::copy_n(lists_ + offsets_[i], 2 * m_, list(i, 0));
}

void Points::adoptVectors(int file, uint64_t vectorsAt, int32_t count) {
  const size_t length = static_cast<size_t>(count) * rowBytes();
  if (vectorsAt % VectorMemory::pageBytes == 0) return vectorMemory_.adopt(file, vectorsAt, length, false);
  vectorMemory_.makeRoom(length);
  readAt(file, vectorsAt, vectors_, length);
}

float Points::encode(int32_t from, int32_t to) {
  float longest = 0;
  for (int32_t i = from; i < to; i++) longest = std::max(longest, measure(i));
  return longest;
}

void Points::adoptPoint(int32_t offset, std::string_view id, int64_t version, uint32_t label) {
  ids_[offset] = id;
  versions_[offset] = version;
  labels_[offset] = label;
  if (label != noLabel) labelled_[label] = offset + 1;
}

void Points::countAdopted(int32_t count, int32_t linked, int32_t entryPoint, float longest) {
  longest_ = longest;
  if (linked > 0) entry_ = (static_cast<int64_t>(level(entryPoint)) << 32) | entryPoint;
  linked_ = linked;
  count_ = count;
}

void Points::moveVectors(int file, uint64_t vectorsAt, int32_t count) {
  vectorMemory_.adopt(file, vectorsAt, static_cast<size_t>(count) * rowBytes(), true);
}

size_t Points::bytes() const {
  const auto points = static_cast<size_t>(count());
  const size_t inMemory = vectorMemory_.isFile() ? 0 : rowBytes() + static_cast<size_t>(2 * m_) * sizeof(int32_t);
  const size_t codes = quantised_ ? shape.stride + (shape.sumsInRow ? 0 : sizeof(RowSums)) : sizeof(float);
  const size_t perPoint = inMemory + codes + sizeof(int) + sizeof(size_t) + sizeof(std::string_view) +
                          sizeof(int64_t) + sizeof(uint32_t) + sizeof(int32_t);
  return points * perPoint + listCapacity(points, static_cast<uint64_t>(m_)) * sizeof(int32_t) + points / 8;
}

}  // namespace vectron
