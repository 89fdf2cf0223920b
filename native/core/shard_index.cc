#include "shard_index.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <shared_mutex>

#include "failure.h"

namespace vectron {
namespace {

constexpr uint64_t capacityLeast = 64;
/** Tombstones that are not worth a copy. */
constexpr int64_t deadLeast = 256;
/** Below this a copy is too short to be felt. */
constexpr uint64_t growBesideLeast = 1024;
/** Linked points from which on several threads link: before, they would get in each other's way (LinkTurns). */
constexpr int32_t sharedLeast = 2048;
/** Points to link for which it is worth while to wake another thread. */
constexpr uint64_t worthSharing = 64;
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
      points_(std::make_shared<Points>(options, std::max(capacityLeast, options.capacity), 0)),
      linker_(options_, kernels_),
      idTexts_(std::make_shared<std::deque<std::string>>()) {}

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
  idTexts_->emplace_back(id);
  // The text, its entry in the map and the map's bucket: about this much beyond the characters.
  idBytes_ += id.size() + 128;
  return *held_.emplace(idTexts_->back(), Held{-1, -1, noLabel}).first;
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
    const std::lock_guard<ReadWriteLock> linking(linking_);
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

/**
 * There is room for it in the points: labels are as many as there were live points at most, and where fewer have room
 * (a rebuild that began before the last were given) dropLabels() took the rest back.
 */
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
  return forget(entryOf(id).second, version);
}

uint32_t ShardIndex::forget(Held& held, int64_t version) {
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

bool ShardIndex::wantsGrowth() const {
  const auto count = static_cast<uint64_t>(points_->count());
  const uint64_t capacity = points_->capacity();
  return wantsGraph(*points_) && !rebuild_.next && count >= growBesideLeast && count * 4 >= capacity * 3 && capacity < INT32_MAX;
}

/** Before the memory is full: what is there is copied while writers append, who wait only while the rest is. */
void ShardIndex::growBeside() {
  const uint64_t capacity = std::min<uint64_t>(points_->capacity() * 2, INT32_MAX);
  auto next = std::make_unique<Points>(options_, capacity, static_cast<uint32_t>(points_->labelCapacity()));
  next->copyFirst(*points_, points_->count());
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

bool ShardIndex::lacksRoomToRebuild() const {
  return rebuild_.next->full() || rebuild_.next->labelCapacity() < labelCount_;
}

bool ShardIndex::isRebuilt() const {
  return rebuild_.next && rebuild_.from == points_->count() && rebuild_.next->linked() == rebuild_.next->count();
}

/** Takes one point over into the graph that will replace this one, and links one there. False: there is none. */
bool ShardIndex::rebuildOne(LinkTurns::Time until) {
  bool taken = false;
  {
    const std::lock_guard<std::mutex> lock(writing_);
    if (!rebuild_.next || lacksRoomToRebuild()) return false;
    if (rebuild_.from < points_->count()) {
      const int32_t point = rebuild_.from++;
      rebuild_.moved.push_back(-1);
      taken = true;
      if (!points_->isDead(point))
        rebuild_.moved.back() = rebuild_.next->append(points_->vector(point), points_->id(point),
                                                      points_->version(point), points_->label(point));
    }
  }
  return linker_.linkNext(*rebuild_.next, until) || taken;
}

void ShardIndex::finishRebuild() {
  const Points& next = *rebuild_.next;
  for (int32_t i = 0; i < next.count(); i++)
    if (!next.isDead(i)) held_.find(next.id(i))->second.offset = i;
  const uint64_t labels = next.labelCapacity();
  swap(std::move(rebuild_.next));
  rebuild_ = Rebuild{};
  dropLabels(labels);
}

/** Free labels from `end` on, for which the points have no room, are as if they had never been given. */
void ShardIndex::dropLabels(uint64_t end) {
  if (labelCount_ <= end) return;
  const auto beyond = [&](uint32_t label) { return label >= end; };
  freeLabels_.erase(std::remove_if(freeLabels_.begin(), freeLabels_.end(), beyond), freeLabels_.end());
  labelCount_ = static_cast<uint32_t>(end);
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

void ShardIndex::swap(std::shared_ptr<Points> next) {
  swapping_.lock();
  points_.swap(next);
  swapping_.unlock();
  // The old memory goes here, outside the lock, unless a file is being written from it: no reader can hold it any more.
}

void ShardIndex::destroy() {
  const std::lock_guard<ReadWriteLock> linking(linking_);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  swap(nullptr);
  rebuild_ = Rebuild{};
  idBytes_ = 0;
  held_.clear();
  // Not cleared: a file may be being written from it.
  idTexts_ = std::make_shared<std::deque<std::string>>();
  labelCount_ = 0;
  freeLabels_.clear();
  liveCount_ = 0;
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

/** Under writing_. What is left of a rebuild counts once all else is linked. */
uint64_t ShardIndex::leftToLink() const {
  const uint64_t left = unlinked(*points_);
  if (left > 0 || !(rebuild_.next || wantsRebuild())) return left;
  const auto toTake = static_cast<uint64_t>(points_->count() - rebuild_.from);
  const uint64_t toLink = rebuild_.next ? static_cast<uint64_t>(rebuild_.next->count() - rebuild_.next->linked()) : 0;
  return std::max<uint64_t>(toTake + toLink, 1);
}

/** Under writing_. */
bool ShardIndex::wantsUpkeep() const {
  if (wantsGrowth()) return true;
  if (unlinked(*points_) > 0) return false;
  return rebuild_.next ? isRebuilt() || lacksRoomToRebuild() : wantsRebuild();
}

/** Alone under linking_: larger memory, and the beginning and the end of a rebuild. */
void ShardIndex::upkeep() {
  if (wantsGrowth()) growBeside();
  const std::lock_guard<std::mutex> lock(writing_);
  if (!wantsUpkeep()) return;
  if (isRebuilt()) return finishRebuild();
  if (rebuild_.next) {
    rebuild_.next = larger(*rebuild_.next);
    return;
  }
  const auto living = static_cast<uint64_t>(liveCount_.load());
  const uint64_t capacity = std::max({capacityLeast, options_.capacity, living + living / 4});
  rebuild_.next = std::make_unique<Points>(options_, capacity, labelCount_);
}

/** Under a share of linking_. */
void ShardIndex::linkShared(LinkTurns::Time until) {
  while (Clock::now() < until && unlinked(*points_) > 0 && linker_.linkNext(*points_, until)) continue;
  if (unlinked(*points_) > 0) return;
  while (Clock::now() < until && rebuildOne(until)) continue;
}

/** Upkeep is done whatever the budget says: it cannot be done in pieces. */
uint64_t ShardIndex::link(uint64_t budgetMicros) {
  const auto until = Clock::now() + std::chrono::microseconds(std::min<uint64_t>(budgetMicros, budgetMicrosMost));
  for (;;) {
    {
      const std::shared_lock<ReadWriteLock> linking(linking_);
      live();
      linkShared(until);
      const std::lock_guard<std::mutex> lock(writing_);
      if (!wantsUpkeep()) return leftToLink();
    }
    const std::lock_guard<ReadWriteLock> linking(linking_);
    live();
    upkeep();
  }
}

bool ShardIndex::sharesLinking() {
  const std::lock_guard<std::mutex> lock(writing_);
  if (points_ == nullptr) return false;
  const Points& grows = rebuild_.next && unlinked(*points_) == 0 ? *rebuild_.next : *points_;
  return grows.linked() >= sharedLeast && leftToLink() >= worthSharing;
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

}  // namespace vectron
