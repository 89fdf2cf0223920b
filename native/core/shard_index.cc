#include "shard_index.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <shared_mutex>

#include "failure.h"
#include "graph_file.h"
#include "top.h"

namespace vectron {
namespace {

constexpr uint64_t capacityLeast = 64;
constexpr uint32_t efLeast = 64;
/** Candidates of the 8-bit walk that are measured again in float32, beyond k. */
constexpr size_t rerankExtra = 20;
/** With tombstones among them, a walk keeps more candidates, up to this many times ef. */
constexpr size_t widenMost = 4;

/** Tombstones that are not worth a copy. */
constexpr int64_t deadLeast = 256;
constexpr uint64_t budgetMicrosMost = 3600ull * 1000 * 1000;

using Clock = std::chrono::steady_clock;

/** Per thread, so that searches of any number of indexes share it and allocate nothing. */
thread_local Scratch scratch;
thread_local std::vector<float> prepared;
thread_local std::vector<Candidate> starts;
thread_local CodeQuery codeQuery;

class Change {
 public:
  explicit Change(std::atomic<uint64_t>& changes) : changes_(changes) { changes_.fetch_add(1); }
  ~Change() { changes_.fetch_add(1); }

 private:
  std::atomic<uint64_t>& changes_;
};

void checkId(std::string_view id) {
  if (id.size() > idBytesMax) throw invalid("id", "longer than " + std::to_string(idBytesMax) + " bytes");
}

void checkVersion(int64_t version) {
  if (version < 0) throw invalid("version", "is negative");
}

}  // namespace

void checkOptions(const Options& options) {
  if (options.dimension < 1 || options.dimension > dimensionMax) throw invalid("dimension", "out of range");
  if (options.m < 2 || options.m > mMax) throw invalid("m", "out of range");
  if (options.efConstruction < 1 || options.efConstruction > efConstructionMax)
    throw invalid("efConstruction", "out of range");
  if (options.capacity > INT32_MAX) throw invalid("capacity", "out of range");
}

ShardIndex::ShardIndex(const Options& options)
    : options_((checkOptions(options), options)),
      kernels_(kernels()),
      points_(std::make_unique<Points>(options, std::max(capacityLeast, options.capacity))),
      linker_(options_, kernels_) {}

Points& ShardIndex::live() const {
  if (points_ == nullptr) throw Failure("FAILED_PRECONDITION", "the index was destroyed");
  return *points_;
}

/** Checks a vector and copies it, normalised for cosine. Lengths are summed in double: floats would overflow. */
void ShardIndex::prepare(const char* field, const float* vector, size_t length, std::vector<float>& out) const {
  if (length != options_.dimension)
    throw invalid(field, "has " + std::to_string(length) + " components, not " + std::to_string(options_.dimension));
  double squares = 0;
  for (size_t i = 0; i < length; i++) squares += static_cast<double>(vector[i]) * vector[i];
  // Written so that NaN fails as well.
  if (!(squares <= squaredLengthMax)) throw invalid(field, "a component is not finite, or the vector is too long");
  out.assign(vector, vector + length);
  if (options_.metric != Metric::cosine || squares == 0) return;
  const double inverse = 1 / std::sqrt(squares);
  for (float& component : out) component = static_cast<float>(component * inverse);
}

std::pair<const std::string_view, ShardIndex::Held>& ShardIndex::entryOf(std::string_view id) {
  const auto found = held_.find(id);
  if (found != held_.end()) return *found;
  idTexts_.emplace_back(id);
  // The text, its entry in the map and the map's bucket: about this much beyond the characters.
  idBytes_ += id.size() + 128;
  return *held_.emplace(idTexts_.back(), Held{-1, -1}).first;
}

void ShardIndex::put(std::string_view id, int64_t version, const float* vector, size_t length) {
  checkId(id);
  checkVersion(version);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  prepare("vector", vector, length, prepared);
  auto& [key, held] = entryOf(id);
  if (held.version >= version) return;
  makeRoom();
  const Change change(changes_);
  const int32_t before = held.offset;
  held = {version, live().append(prepared.data(), key, version)};
  if (before >= 0) kill(before);
  else liveCount_++;
}

void ShardIndex::remove(std::string_view id, int64_t version) {
  checkId(id);
  checkVersion(version);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  Held& held = entryOf(id).second;
  if (held.version >= version) return;
  const Change change(changes_);
  if (held.offset >= 0) {
    liveCount_--;
    kill(held.offset);
  }
  held = {version, -1};
}

int64_t ShardIndex::versionOf(std::string_view id) {
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  const auto found = held_.find(id);
  return found == held_.end() ? -1 : found->second.version;
}

/**
 * Before an append. Where there is no graph tombstones are only waste: they are dropped once they outnumber the living.
 * When the memory is full, it is copied beside into twice as much; searches go on meanwhile, the writer waits.
 */
void ShardIndex::makeRoom() {
  const uint64_t capacity = points_->capacity();
  const int64_t dead = points_->dead();
  if (points_->linked() == 0 && dead > std::max(liveCount_.load(), deadLeast)) return swap(compacted(capacity));
  if (points_->full()) swap(larger(*points_));
}

std::unique_ptr<Points> ShardIndex::larger(const Points& points) const {
  const uint64_t capacity = std::min<uint64_t>(points.capacity() * 2, INT32_MAX);
  if (capacity == points.capacity()) throw Failure("RESOURCE_EXHAUSTED", "the index is full");
  auto next = std::make_unique<Points>(options_, capacity);
  next->copyFrom(points);
  return next;
}

void ShardIndex::kill(int32_t offset) {
  points_->kill(offset);
  if (offset < rebuild_.from) rebuild_.next->kill(rebuild_.moved[static_cast<size_t>(offset)]);
}

bool ShardIndex::wantsRebuild() const {
  const int64_t dead = points_->dead();
  return points_->linked() > 0 && dead > deadLeast && dead * 5 > static_cast<int64_t>(points_->count()) * 2;
}

/** Takes one point over into the graph that will replace this one. */
void ShardIndex::rebuildOne() {
  if (rebuild_.next == nullptr) {
    const auto living = static_cast<uint64_t>(liveCount_.load());
    rebuild_.next = std::make_unique<Points>(options_, std::max({capacityLeast, options_.capacity, living + living / 4}));
  }
  const int32_t point = rebuild_.from++;
  rebuild_.moved.push_back(-1);
  if (points_->isDead(point)) return;
  if (rebuild_.next->full()) rebuild_.next = larger(*rebuild_.next);
  rebuild_.moved.back() = rebuild_.next->append(points_->vector(point), points_->id(point), points_->version(point));
  linker_.linkNext(*rebuild_.next);
}

void ShardIndex::finishRebuild() {
  const Points& next = *rebuild_.next;
  for (int32_t i = 0; i < next.count(); i++)
    if (!next.isDead(i)) held_.find(next.id(i))->second.offset = i;
  swap(std::move(rebuild_.next));
  rebuild_ = Rebuild{};
}

std::unique_ptr<Points> ShardIndex::compacted(uint64_t capacity) {
  auto next = std::make_unique<Points>(options_, capacity);
  for (int32_t i = 0; i < points_->count(); i++) {
    if (points_->isDead(i)) continue;
    held_.find(points_->id(i))->second.offset = next->append(points_->vector(i), points_->id(i), points_->version(i));
  }
  return next;
}

void ShardIndex::swap(std::unique_ptr<Points> next) {
  swapping_.lock();
  points_.swap(next);
  swapping_.unlock();
  // The old memory goes here, outside the lock: no reader can hold it any more.
}

void ShardIndex::destroy() {
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  swap(nullptr);
  rebuild_ = Rebuild{};
  idBytes_ = 0;
  held_.clear();
  idTexts_.clear();
  liveCount_ = 0;
}

void ShardIndex::save(const std::string& path) {
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  GraphFile::save(*this, path);
}

/** Only before anybody else has the index. */
void ShardIndex::load(const std::string& path) {
  const std::lock_guard<std::mutex> lock(writing_);
  try {
    GraphFile::load(*this, path);
  } catch (...) {
    held_.clear();
    idTexts_.clear();
    idBytes_ = 0;
    liveCount_ = 0;
    throw;
  }
}

bool ShardIndex::wantsGraph(const Points& points) const {
  return points.linked() > 0 || static_cast<uint64_t>(liveCount_.load()) >= options_.threshold;
}

bool ShardIndex::usesGraph(const Points& points) const {
  const auto threshold = std::max<uint64_t>(options_.threshold, 1);
  return static_cast<uint64_t>(points.linked()) >= threshold && static_cast<uint64_t>(liveCount_.load()) >= threshold;
}

uint64_t ShardIndex::unlinked(const Points& points) const {
  return wantsGraph(points) ? static_cast<uint64_t>(points.count() - points.linked()) : 0;
}

uint64_t ShardIndex::link(uint64_t budgetMicros) {
  const auto until = Clock::now() + std::chrono::microseconds(std::min<uint64_t>(budgetMicros, budgetMicrosMost));
  const std::lock_guard<std::mutex> lock(writing_);
  const Points& points = live();
  while (unlinked(points) > 0 && Clock::now() < until) linker_.linkNext(*points_);
  if (unlinked(points) > 0 || !(rebuild_.next || wantsRebuild())) return unlinked(points);
  while (rebuild_.from < points.count() && Clock::now() < until) rebuildOne();
  if (rebuild_.from < points.count()) return static_cast<uint64_t>(points.count() - rebuild_.from);
  finishRebuild();
  return 0;
}

Stats ShardIndex::stats() {
  const std::lock_guard<std::mutex> lock(writing_);
  const Points& points = live();
  const size_t bytes = points.bytes() + (rebuild_.next ? rebuild_.next->bytes() : 0) + idBytes_;
  return {static_cast<double>(liveCount_.load()), static_cast<double>(unlinked(points)),
          static_cast<double>(points.dead()), static_cast<double>(bytes)};
}

void ShardIndex::setAppliedIndex(double value) {
  if (!(value >= 0 && value <= 9007199254740991.0)) throw invalid("appliedIndex", "out of range");
  appliedIndex_ = value;
}

Hits ShardIndex::search(const float* query, size_t length, uint32_t k, uint32_t ef) {
  if (k < 1 || k > kMax) throw invalid("k", "out of range");
  if (ef > efMax) throw invalid("ef", "out of range");
  prepare("query", query, length, prepared);
  const uint32_t width = std::max(k, ef == 0 ? std::max(efLeast, 2 * k) : ef);
  return answerFully(prepared, k, width);
}

Hits ShardIndex::exact(const float* query, size_t length, uint32_t k) {
  if (k < 1 || k > kMax) throw invalid("k", "out of range");
  prepare("query", query, length, prepared);
  return answerFully(prepared, k, 0);
}

/** A second look without the writer finds what a walk, or a change that went on beside it, left out. */
Hits ShardIndex::answerFully(const std::vector<float>& query, uint32_t k, uint32_t ef) {
  Hits hits;
  {
    const std::shared_lock<ReadWriteLock> reading(swapping_);
    const Points& points = live();
    answer(points, query, k, ef, hits);
  }
  if (hits.ids.size() >= std::min<size_t>(k, static_cast<size_t>(liveCount_.load()))) return hits;
  const std::lock_guard<std::mutex> lock(writing_);
  hits = Hits{{}, {}, false, hits.distances};
  answer(live(), query, k, 0, hits);
  return hits;
}

/** `ef` 0 asks for a scan. */
void ShardIndex::answer(const Points& points, const std::vector<float>& query, uint32_t k, uint32_t ef, Hits& hits) {
  const uint64_t before = changes_.load();
  Top top(points, k);
  if (ef > 0 && usesGraph(points)) walk(points, query, k, ef, top, hits);
  else scan(points, query, 0, points.count(), top, hits);
  std::vector<Candidate>& found = top.sorted();
  if (before % 2 != 0 || changes_.load() != before) dropOlder(points, found);
  for (const Candidate& candidate : found) {
    hits.ids.emplace_back(points.id(candidate.point));
    hits.scores.push_back(0 - candidate.distance);
  }
}

/** A point that changed meanwhile may have been met at its old and its new offset: the new one stays. */
void ShardIndex::dropOlder(const Points& points, std::vector<Candidate>& found) const {
  std::unordered_map<const char*, int32_t> newest;
  for (const Candidate& c : found) {
    int32_t& at = newest.try_emplace(points.id(c.point).data(), c.point).first->second;
    at = std::max(at, c.point);
  }
  const auto older = [&](const Candidate& c) { return newest[points.id(c.point).data()] != c.point; };
  found.erase(std::remove_if(found.begin(), found.end(), older), found.end());
}

float ShardIndex::exactDistance(const Points& points, const std::vector<float>& query, int32_t point) const {
  const float* const vector = points.vector(point);
  if (options_.form() == Form::squaredL2) return kernels_.squaredL2(query.data(), vector, query.size());
  return -kernels_.dot(query.data(), vector, query.size());
}

void ShardIndex::scan(const Points& points, const std::vector<float>& query, int32_t from, int32_t to, Top& top,
                      Hits& hits) const {
  for (int32_t i = from; i < to; i++) {
    if (points.isDead(i)) continue;
    hits.distances++;
    top.offer(exactDistance(points, query, i), i);
  }
}

/** Graph and tail: the entry is taken before `linked`, and that before `count` (Points, invariant 3). */
void ShardIndex::walk(const Points& points, const std::vector<float>& query, uint32_t k, uint32_t ef, Top& top,
                      Hits& hits) {
  const Entry entry = points.entry();
  const int32_t linked = points.linked();
  Walk walk(points, kernels_, options_.form(), scratch);
  codeQuery.fromVector(points.shape, query.data());
  const Candidate start{walk.distance(codeQuery, entry.point), entry.point};
  starts.assign(1, walk.descend(codeQuery, start, entry.level, 0, linked));
  const auto living = static_cast<uint64_t>(std::max<int64_t>(liveCount_.load(), 1));
  const uint64_t widened = ef + static_cast<uint64_t>(ef) * static_cast<uint64_t>(points.dead()) / living;
  walk.expand(codeQuery, starts, 0, std::min<uint64_t>(widened, ef * widenMost), linked);
  const size_t wanted = std::max<size_t>(k, std::min<size_t>(ef, k + rerankExtra));
  size_t ranked = 0;
  for (size_t i = 0; i < scratch.pool.size() && ranked < wanted; i++) {
    const int32_t point = scratch.pool.at(i).point;
    if (points.isDead(point)) continue;
    ranked++;
    top.offer(exactDistance(points, query, point), point);
  }
  hits.graph = true;
  hits.distances += walk.distances + ranked;
  scan(points, query, linked, points.count(), top, hits);
}

}  // namespace vectron
