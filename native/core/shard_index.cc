#include "shard_index.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <shared_mutex>
#include <unordered_set>

#include "failure.h"
#include "graph_file.h"
#include "top.h"

namespace vectron {
namespace {

constexpr uint64_t capacityLeast = 64;
constexpr uint32_t efLeast = 64;
/** Tombstones that are not worth a copy. */
constexpr int64_t deadLeast = 256;
/** Below this a copy is too short to be felt. */
constexpr uint64_t growBesideLeast = 1024;
constexpr uint64_t budgetMicrosMost = 3600ull * 1000 * 1000;

using Clock = std::chrono::steady_clock;

thread_local std::vector<float> prepared;

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
      points_(std::make_unique<Points>(options, std::max(capacityLeast, options.capacity), 0)),
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
  return *held_.emplace(idTexts_.back(), Held{-1, -1, noLabel}).first;
}

uint32_t ShardIndex::put(std::string_view id, int64_t version, const float* vector, size_t length) {
  checkId(id);
  checkVersion(version);
  for (;;) {
    {
      const std::lock_guard<std::mutex> lock(writing_);
      live();
      prepare("vector", vector, length, prepared);
      auto& [key, held] = entryOf(id);
      if (held.version >= version) return held.label;
      if (!lacksRoom()) return place(key, held, version);
    }
    const std::lock_guard<std::mutex> linking(linking_);
    const std::lock_guard<std::mutex> lock(writing_);
    live();
    makeRoom();
  }
}

/** The prepared vector becomes the id's newest. */
uint32_t ShardIndex::place(std::string_view key, Held& held, int64_t version) {
  const Change change(changes_);
  const Held before = held;
  const uint32_t label = before.offset >= 0 ? before.label : takeLabel();
  held = {version, points_->append(prepared.data(), key, version, label), label};
  if (before.offset >= 0) kill(before.offset);
  else liveCount_++;
  return label;
}

/** There is room for it in the points: labels are as many as there were live points at most. */
uint32_t ShardIndex::takeLabel() {
  if (freeLabels_.empty()) return labelCount_++;
  const uint32_t label = freeLabels_.back();
  freeLabels_.pop_back();
  return label;
}

uint32_t ShardIndex::remove(std::string_view id, int64_t version) {
  checkId(id);
  checkVersion(version);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  Held& held = entryOf(id).second;
  if (held.version >= version) return noLabel;
  const Change change(changes_);
  const Held before = held;
  held = {version, -1, noLabel};
  if (before.offset < 0) return noLabel;
  liveCount_--;
  points_->unlabel(before.label);
  if (before.offset < rebuild_.from) rebuild_.next->unlabel(before.label);
  kill(before.offset);
  freeLabels_.push_back(before.label);
  return before.label;
}

uint32_t ShardIndex::labelOf(std::string_view id) {
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  const auto found = held_.find(id);
  return found == held_.end() ? noLabel : found->second.label;
}

bool ShardIndex::idOf(uint32_t label, std::string& id) {
  const std::lock_guard<std::mutex> lock(writing_);
  const Points& points = live();
  const int32_t row = label < points.labelCapacity() ? points.rowOf(label) : -1;
  if (row >= 0) id = points.id(row);
  return row >= 0;
}

int64_t ShardIndex::versionOf(std::string_view id) {
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  const auto found = held_.find(id);
  return found == held_.end() ? -1 : found->second.version;
}

/** Where there is no graph tombstones are only waste: they are dropped once they outnumber the living. */
bool ShardIndex::lacksRoom() const {
  return points_->full() || (points_->linked() == 0 && points_->dead() > std::max(liveCount_.load(), deadLeast));
}

/**
 * Before an append, under linking_ too. When the memory is full, it is copied beside into twice as much; searches go on
 * meanwhile, the writer waits. Where points are linked, growBeside() is earlier.
 */
void ShardIndex::makeRoom() {
  if (!lacksRoom()) return;
  if (points_->full()) swap(larger(*points_));
  else swap(compacted(points_->capacity()));
}

/** Before the memory is full: what is there is copied while writers append, who wait only while the rest is. */
void ShardIndex::growBeside() {
  const uint64_t capacity = std::min<uint64_t>(points_->capacity() * 2, INT32_MAX);
  const auto count = static_cast<uint64_t>(points_->count());
  if (rebuild_.next || count * 4 < points_->capacity() * 3 || count < growBesideLeast || capacity == points_->capacity())
    return;
  auto next = std::make_unique<Points>(options_, capacity, static_cast<uint32_t>(points_->labelCapacity()));
  next->copyFirst(*points_, static_cast<int32_t>(count));
  const std::lock_guard<std::mutex> lock(writing_);
  next->copyRest(*points_);
  swap(std::move(next));
}

std::unique_ptr<Points> ShardIndex::larger(const Points& points) const {
  const uint64_t capacity = std::min<uint64_t>(points.capacity() * 2, INT32_MAX);
  if (capacity == points.capacity()) throw Failure("RESOURCE_EXHAUSTED", "the index is full");
  auto next = std::make_unique<Points>(options_, capacity, labelCount_);
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

/** Takes one point over into the graph that will replace this one. Under linking_. */
void ShardIndex::rebuildOne() {
  {
    const std::lock_guard<std::mutex> lock(writing_);
    if (rebuild_.next == nullptr) {
      const auto living = static_cast<uint64_t>(liveCount_.load());
      const uint64_t capacity = std::max({capacityLeast, options_.capacity, living + living / 4});
      rebuild_.next = std::make_unique<Points>(options_, capacity, labelCount_);
    }
    const int32_t point = rebuild_.from++;
    rebuild_.moved.push_back(-1);
    if (points_->isDead(point)) return;
    const uint32_t label = points_->label(point);
    if (rebuild_.next->full() || label >= rebuild_.next->labelCapacity()) rebuild_.next = larger(*rebuild_.next);
    rebuild_.moved.back() =
        rebuild_.next->append(points_->vector(point), points_->id(point), points_->version(point), label);
  }
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
  auto next = std::make_unique<Points>(options_, capacity, labelCount_);
  for (int32_t i = 0; i < points_->count(); i++) {
    if (points_->isDead(i)) continue;
    Held& held = held_.find(points_->id(i))->second;
    held.offset = next->append(points_->vector(i), points_->id(i), points_->version(i), held.label);
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
  const std::lock_guard<std::mutex> linking(linking_);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  swap(nullptr);
  rebuild_ = Rebuild{};
  idBytes_ = 0;
  held_.clear();
  idTexts_.clear();
  labelCount_ = 0;
  freeLabels_.clear();
  liveCount_ = 0;
}

void ShardIndex::save(const std::string& path) {
  const std::lock_guard<std::mutex> linking(linking_);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  GraphFile::save(*this, path);
}

void ShardIndex::endLoad(const std::string& refused) {
  const std::lock_guard<std::mutex> lock(loadLock_);
  refused_ = refused;
  loading_ = false;
  loaded_.notify_all();
}

void ShardIndex::whenLoaded() {
  if (!loading_) return;
  std::unique_lock<std::mutex> lock(loadLock_);
  loaded_.wait(lock, [this] { return !loading_; });
}

/** Only before anybody else uses the index. */
void ShardIndex::load(const std::string& path) {
  const std::lock_guard<std::mutex> linking(linking_);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  try {
    GraphFile::load(*this, path);
  } catch (...) {
    held_.clear();
    idTexts_.clear();
    idBytes_ = 0;
    labelCount_ = 0;
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
  const std::lock_guard<std::mutex> linking(linking_);
  live();
  if (wantsGraph(*points_)) growBeside();
  const Points& points = *points_;
  while (unlinked(points) > 0 && Clock::now() < until) linker_.linkNext(*points_);
  if (unlinked(points) > 0 || !(rebuild_.next || wantsRebuild())) return unlinked(points);
  while (rebuild_.from < points.count() && Clock::now() < until) rebuildOne();
  const std::lock_guard<std::mutex> lock(writing_);
  if (rebuild_.from < points.count()) return static_cast<uint64_t>(points.count() - rebuild_.from);
  finishRebuild();
  return 0;
}

uint64_t ShardIndex::unlinkedCount() {
  const std::lock_guard<std::mutex> lock(writing_);
  return points_ == nullptr ? 0 : unlinked(*points_);
}

double ShardIndex::bytesNow() {
  const std::lock_guard<std::mutex> lock(writing_);
  if (points_ == nullptr) return 0;
  return static_cast<double>(points_->bytes() + (rebuild_.next ? rebuild_.next->bytes() : 0) + idBytes_);
}

Stats ShardIndex::stats() {
  const std::lock_guard<std::mutex> lock(writing_);
  const Points& points = live();
  const size_t bytes = points.bytes() + (rebuild_.next ? rebuild_.next->bytes() : 0) + idBytes_;
  return {static_cast<double>(liveCount_.load()), static_cast<double>(unlinked(points)),
          static_cast<double>(points.dead()), static_cast<double>(bytes), static_cast<double>(labelCount_),
          static_cast<double>(recall_.expected()), static_cast<double>(recall_.found())};
}

void ShardIndex::setAppliedIndex(double value) {
  if (!(value >= 0 && value <= 9007199254740991.0)) throw invalid("appliedIndex", "out of range");
  appliedIndex_ = value;
}

Hits ShardIndex::search(const float* query, size_t length, uint32_t k, uint32_t ef) {
  Request request;
  request.query = query;
  request.length = length;
  request.k = k;
  request.ef = ef;
  return search(request);
}

Hits ShardIndex::exact(const float* query, size_t length, uint32_t k) {
  Request request;
  request.query = query;
  request.length = length;
  request.k = k;
  request.exact = true;
  return search(request);
}

/** What was put while it was answered would make it another search: then it is not kept. */
void ShardIndex::keepForAudit(const Request& request, int32_t count, int32_t dead, const Hits& hits) {
  if (points_->count() != count || points_->dead() != dead) return;
  recall_.keep({points_.get(), count, dead, request.k, prepared, hits.ids});
}

/** Under linking_ alone, which keeps the points where they are: neither searches nor writes wait. */
void ShardIndex::auditRecall() {
  AnsweredSearch search;
  if (!recall_.take(search)) return;
  const std::lock_guard<std::mutex> linking(linking_);
  const Points& points = live();
  if (&points != search.points || points.dead() != search.dead) return;
  Top top(points, search.k);
  Hits exact;
  Searcher(options_, kernels_, points, search.query).scanRows(0, search.count, top, exact);
  if (points.dead() != search.dead) return;
  const std::unordered_set<std::string_view> found(search.ids.begin(), search.ids.end());
  uint64_t hits = 0, expected = 0;
  for (const Candidate& candidate : top.sorted()) {
    expected++;
    hits += found.count(points.id(candidate.point));
  }
  recall_.count(hits, expected);
}

/** A second look without the writer finds what a walk, or a change that went on beside it, left out. */
Hits ShardIndex::search(const Request& request) {
  if (request.k < 1 || request.k > kMax) throw invalid("k", "out of range");
  if (request.ef > efMax) throw invalid("ef", "out of range");
  const auto began = Clock::now();
  prepare("query", request.query, request.length, prepared);
  Hits hits;
  {
    const std::shared_lock<ReadWriteLock> reading(swapping_);
    const Points& points = live();
    const bool keeps = !request.exact && request.allowed == nullptr && recall_.wantsOne();
    const int32_t count = points.count(), dead = points.dead();
    answer(points, prepared, request, hits);
    if (keeps && hits.strategy == Strategy::graph) keepForAudit(request, count, dead, hits);
  }
  if (isShort(request, hits)) {
    const std::lock_guard<std::mutex> lock(writing_);
    const Hits first = std::move(hits);
    hits = Hits{};
    Request again = request;
    again.exact = true;
    answer(live(), prepared, again, hits);
    hits.fellBack = first.strategy != Strategy::scan;
    hits.distances += first.distances;
    hits.visited += first.visited;
  }
  hits.micros = std::chrono::duration<double, std::micro>(Clock::now() - began).count();
  return hits;
}

bool ShardIndex::isShort(const Request& request, const Hits& hits) const {
  const uint64_t there = request.allowed != nullptr ? hits.matches : static_cast<uint64_t>(liveCount_.load());
  return hits.ids.size() < std::min<uint64_t>(request.k, there);
}

void ShardIndex::answer(const Points& points, const std::vector<float>& query, const Request& request,
                        Hits& hits) const {
  const uint64_t before = changes_.load();
  const uint32_t ef = std::max(request.k, request.ef == 0 ? std::max(efLeast, 2 * request.k) : request.ef);
  const bool graph = !request.exact && usesGraph(points);
  const Searcher searcher(options_, kernels_, points, query);
  Top top(points, request.k);
  if (request.allowed != nullptr) searcher.within(request, top, ef, graph, hits);
  else searcher.all(top, request.k, graph ? ef : 0, static_cast<uint64_t>(liveCount_.load()), hits);
  std::vector<Candidate>& found = top.sorted();
  if (before % 2 != 0 || changes_.load() != before) {
    dropOlder(points, found);
    // A match that was replaced while it was looked up may have been missed: as many as there may be are expected.
    if (request.allowed != nullptr) hits.matches = std::max(hits.matches, request.allowed->count());
  }
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

}  // namespace vectron
