#include <algorithm>

#include "failure.h"
#include "precision.h"
#include "shard_index.h"

/** How a ShardIndex gets larger memory, loses its dead and is built anew. */
namespace vectron {
namespace {

/** Tombstones that are not worth a copy. */
constexpr int64_t deadLeast = 256;
/** Below this a copy is too short to be felt. */
constexpr uint64_t growBesideLeast = 1024;

/** Bytes that are counted as taken while this lives. */
class Counted {
 public:
  Counted(std::atomic<size_t>& bytes, size_t count) : bytes_(bytes) { bytes_ = count; }
  ~Counted() { bytes_ = 0; }

 private:
  std::atomic<size_t>& bytes_;
};

}  // namespace

/** Where there is no graph tombstones are only waste: they are dropped once they outnumber the living. */
bool ShardIndex::lacksRoom() const {
  return points_->full() || (points_->linked() == 0 && points_->dead() > std::max(liveCount_.load(), deadLeast));
}

/**
 * Before an append, under linking_ too. When the memory is full, it is copied beside into twice as much; searches go on
 * meanwhile, the writer waits. Where points are linked, growBeside() is earlier.
 */
ShardIndex::Retired ShardIndex::makeRoom() {
  if (!lacksRoom()) return nullptr;
  return swap(points_->full() ? larger(*points_) : compacted(points_->capacity()));
}

bool ShardIndex::wantsGrowth() const {
  const auto count = static_cast<uint64_t>(points_->count());
  const uint64_t capacity = points_->capacity();
  return wantsGraph(*points_) && !rebuild_.next && count >= growBesideLeast && count * 4 >= capacity * 3 && capacity < INT32_MAX;
}

/** Before the memory is full: what is there is copied while writers append, who wait only while the rest is. */
ShardIndex::Retired ShardIndex::growBeside() {
  const uint64_t capacity = std::min<uint64_t>(points_->capacity() * 2, INT32_MAX);
  auto next = std::make_unique<Points>(options_, capacity, static_cast<uint32_t>(points_->labelCapacity()));
  const Counted counted(besideBytes_, points_->bytes());
  next->copyFirst(*points_, points_->count());
  const std::lock_guard<std::mutex> lock(writing_);
  next->copyRest(*points_);
  return swap(std::move(next));
}

/** The same for the graph that is being built. */
ShardIndex::Retired ShardIndex::enlargeRebuild() {
  Points& small = *rebuild_.next;
  const uint64_t capacity = std::min<uint64_t>(small.capacity() * 2, INT32_MAX);
  auto next = std::make_unique<Points>(options_, capacity, std::max<uint32_t>(labelCount_, static_cast<uint32_t>(small.labelCapacity())));
  next->copyFirst(small, small.count());
  const std::lock_guard<std::mutex> lock(writing_);
  next->copyRest(small);
  next.swap(rebuild_.next);
  return next;
}

std::unique_ptr<Points> ShardIndex::larger(const Points& points) const {
  const uint64_t capacity = std::min<uint64_t>(points.capacity() * 2, INT32_MAX);
  if (capacity == points.capacity()) throw Failure("RESOURCE_EXHAUSTED", "the index is full");
  auto next = std::make_unique<Points>(options_, capacity, labelCount_);
  next->copyFrom(points);
  return next;
}

/** Also where links were made by codes that turned out to mislead. */
bool ShardIndex::wantsRebuild() const {
  if (points_->linked() > 0 && points_->measuresVectors() && !points_->linkedByVectors()) return true;
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
      besideBytes_ = rebuild_.next->bytes();
    }
  }
  return linker_.linkNext(*rebuild_.next, until) || taken;
}

ShardIndex::Retired ShardIndex::finishRebuild() {
  const uint64_t labels = rebuild_.next->labelCapacity();
  Retired retired = swap(std::move(rebuild_.next));
  rebuild_ = Rebuild{};
  besideBytes_ = 0;
  dropLabels(labels);
  return retired;
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
    next->append(points_->vector(i), points_->id(i), points_->version(i), points_->label(i));
  }
  return next;
}

/** Before the first link, and whenever there are twice as many points, until it is known that codes mislead. */
bool ShardIndex::wantsJudgement() const {
  const int32_t count = points_->count();
  return wantsGraph(*points_) && !points_->measuresVectors() && count > 0 && count / 2 >= points_->judged();
}

/** Under writing_. */
bool ShardIndex::wantsUpkeep() const {
  if (wantsGrowth() || wantsJudgement()) return true;
  if (unlinked(*points_) > 0) return false;
  return rebuild_.next ? isRebuilt() || lacksRoomToRebuild() : wantsRebuild();
}

/** Alone under linking_: larger memory, and the beginning and the end of a rebuild. */
ShardIndex::Retired ShardIndex::upkeep() {
  if (wantsJudgement()) points_->judge(points_->count(), misleads(options_, kernels_, *points_));
  if (wantsGrowth()) return growBeside();
  if (rebuild_.next && !isRebuilt() && lacksRoomToRebuild()) return enlargeRebuild();
  const std::lock_guard<std::mutex> lock(writing_);
  if (!wantsUpkeep()) return nullptr;
  if (isRebuilt()) return finishRebuild();
  if (rebuild_.next) return nullptr;
  const auto living = static_cast<uint64_t>(liveCount_.load());
  const uint64_t capacity = std::max({capacityLeast, options_.capacity, living + living / 4});
  rebuild_.next = std::make_unique<Points>(options_, capacity, labelCount_);
  rebuild_.next->judgeLike(*points_);
  rebuild_.moved.reserve(points_->capacity());
  besideBytes_ = rebuild_.next->bytes();
  return nullptr;
}

}  // namespace vectron
