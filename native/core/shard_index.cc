#include "shard_index.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <shared_mutex>

#include "failure.h"

namespace vectron {
namespace {

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

Failure destroyed() { return Failure("FAILED_PRECONDITION", "the index was destroyed"); }

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
      points_(std::make_shared<Points>(options, std::max<uint64_t>(capacityLeast, options.capacity), 0)),
      shown_(points_),
      linker_(options_, kernels_),
      idTexts_(std::make_shared<std::deque<std::string>>()) {}

Points& ShardIndex::live() const {
  if (points_ == nullptr) throw destroyed();
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
  return *held_.emplace(idTexts_->back(), Held{-1, noLabel}).first;
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
    Retired retired;
    const std::lock_guard<ReadWriteLock> linking(linking_);
    const std::lock_guard<std::mutex> lock(writing_);
    live();
    retired = makeRoom();
  }
}

/** The prepared vector becomes the id's newest. */
uint32_t ShardIndex::place(std::string_view key, Held& held, int64_t version) {
  const Change change(changes_);
  const bool isNew = held.label == noLabel;
  const int32_t before = isNew ? -1 : points_->rowOf(held.label);
  const uint32_t label = isNew ? takeLabel() : held.label;
  points_->append(prepared.data(), key, version, label);
  held = {version, label};
  if (isNew) liveCount_++;
  else kill(before);
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
  const uint32_t label = held.label;
  held = {version, noLabel};
  if (label == noLabel) return noLabel;
  liveCount_--;
  const int32_t row = points_->rowOf(label);
  points_->unlabel(label);
  if (row < rebuild_.from) rebuild_.next->unlabel(label);
  kill(row);
  freeLabels_.push_back(label);
  return label;
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

void ShardIndex::kill(int32_t offset) {
  points_->kill(offset);
  if (offset < rebuild_.from) rebuild_.next->kill(rebuild_.moved[static_cast<size_t>(offset)]);
}

ShardIndex::Retired ShardIndex::swap(std::shared_ptr<Points> next) {
  generation_++;
  std::atomic_store(&shown_, next);
  swapping_.lock();
  points_.swap(next);
  swapping_.unlock();
  return next;
}

void ShardIndex::destroy() {
  Retired retired;
  const std::lock_guard<ReadWriteLock> linking(linking_);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  retired = swap(nullptr);
  rebuild_ = Rebuild{};
  besideBytes_ = 0;
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
    Retired retired;
    const std::lock_guard<ReadWriteLock> linking(linking_);
    live();
    retired = upkeep();
  }
}

bool ShardIndex::sharesLinking() {
  const std::lock_guard<std::mutex> lock(writing_);
  if (points_ == nullptr) return false;
  const Points& grows = rebuild_.next && unlinked(*points_) == 0 ? *rebuild_.next : *points_;
  return grows.linked() >= sharedLeast && leftToLink() >= worthSharing;
}

/** The figures wait for nobody: every write asks for them. */
uint64_t ShardIndex::unlinkedCount() {
  const std::shared_ptr<Points> points = shown();
  return points == nullptr ? 0 : unlinked(*points);
}

double ShardIndex::bytesOf(const Points& points) const {
  return static_cast<double>(points.bytes() + besideBytes_ + idBytes_);
}

double ShardIndex::bytesNow() {
  const std::shared_ptr<Points> points = shown();
  return points == nullptr ? 0 : bytesOf(*points);
}

Stats ShardIndex::stats() {
  const std::shared_ptr<Points> points = shown();
  if (points == nullptr) throw destroyed();
  return {static_cast<double>(liveCount_.load()), static_cast<double>(unlinked(*points)),
          static_cast<double>(points->dead()), bytesOf(*points), static_cast<double>(labelCount_.load()),
          static_cast<double>(recall_.expected()), static_cast<double>(recall_.found())};
}

void ShardIndex::setAppliedIndex(double value) {
  if (!(value >= 0 && value <= 9007199254740991.0)) throw invalid("appliedIndex", "out of range");
  appliedIndex_ = value;
}

}  // namespace vectron
