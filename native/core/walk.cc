#include "walk.h"

#include <algorithm>
#include <cstring>

namespace vectron {
namespace {

/** Candidates whose neighbours are measured in one go: fewer waits for memory, for one distance more in a hundred. */
constexpr size_t expandedAtOnce = 2;

constexpr size_t blockSize = 8;

/** Some neighbouring values at once, in registers. */
template <typename T>
struct Block {
  explicit Block(const T* from) { std::memcpy(values, from, sizeof values); }
  void writeTo(T* to) const { std::memcpy(to, values, sizeof values); }
  T values[blockSize];
};

}  // namespace

void Pool::reset(size_t capacity) {
  capacity_ = capacity;
  size_ = next_ = 0;
  reserve(capacity);
}

void Pool::reserve(size_t capacity) {
  // The worst falls off behind the end, and the first block of an insertion may reach beyond it.
  const size_t slots = capacity + 1 + blockSize;
  if (distances_.size() >= slots) return;
  distances_.resize(slots);
  points_.resize(slots);
}

void Pool::insert(float distance, int32_t point) {
  float* const distances = distances_.data();
  int32_t* const points = points_.data();
  // Counted, not searched: the compiler makes vectors of it, and no branch is guessed wrong.
  uint32_t at = 0;
  for (size_t i = 0; i < size_; i++) at += distances[i] <= distance ? 1 : 0;
  // From behind, a block at a time, each read whole before it is written. The first is read before all: where it reaches
  // beyond those that are left, it says again what others wrote.
  Block<float> firstDistances(distances + at);
  Block<int32_t> firstPoints(points + at);
  for (size_t end = size_; end - at > blockSize; end -= blockSize) {
    Block<float>(distances + end - blockSize).writeTo(distances + end - blockSize + 1);
    Block<int32_t>(points + end - blockSize).writeTo(points + end - blockSize + 1);
  }
  firstDistances.writeTo(distances + at + 1);
  firstPoints.writeTo(points + at + 1);
  distances[at] = distance;
  points[at] = point;
  if (size_ < capacity_) size_++;
  next_ = std::min(next_, static_cast<size_t>(at));
}

int32_t Pool::take() {
  while (next_ < size_ && (points_[next_] & taken) != 0) next_++;
  if (next_ == size_) return -1;
  const int32_t point = points_[next_];
  points_[next_++] |= taken;
  while (next_ < size_ && (points_[next_] & taken) != 0) next_++;
  return point;
}

void Visited::reserve(size_t points) {
  if (tags_.size() < points) tags_.resize(points * 5 / 4 + 64, 0);
}

void Visited::reset(size_t points) {
  reserve(points);
  if (++tag_ != 0) return;
  std::fill(tags_.begin(), tags_.end(), uint16_t{0});
  tag_ = 1;
}

void Scratch::reserve(size_t ef, size_t points, size_t slots) {
  pool.reserve(ef);
  visited.reserve(points);
  fresh.reserve(slots * expandedAtOnce);
  if (dots.size() < slots * expandedAtOnce) dots.resize(slots * expandedAtOnce);
}

template <typename Query>
Candidate Walk::descend(const Query& query, Candidate start, int32_t from, int32_t to, int32_t limit) {
  Candidate best = start;
  for (int32_t level = from; level > to; level--) {
    for (bool moved = true; moved;) {
      moved = false;
      const int32_t* const list = points_.list(best.point, level);
      const int32_t slots = points_.slots(level);
      scratch_.fresh.resize(static_cast<size_t>(slots));
      size_t count = 0;
      for (int32_t j = 0; j < slots; j++) {
        const int32_t point = loadRelaxed(list + j);
        if (point < 0) break;
        if (point < limit) scratch_.fresh[count++] = point;
      }
      measureAll(query, scratch_.fresh.data(), count, [&](float d, int32_t point) {
        if (d >= best.distance) return;
        best = {d, point};
        moved = true;
      });
    }
  }
  return best;
}

template <typename Query>
void Walk::expand(const Query& query, const std::vector<Candidate>& starts, int32_t level, size_t ef, int32_t limit) {
  Pool& pool = scratch_.pool;
  Visited& visited = scratch_.visited;
  const int32_t slots = points_.slots(level);
  scratch_.fresh.resize(static_cast<size_t>(slots) * expandedAtOnce);
  int32_t* const fresh = scratch_.fresh.data();
  pool.reset(ef);
  visited.reset(static_cast<size_t>(limit));
  for (const Candidate& start : starts)
    if (visited.mark(start.point) && pool.admits(start.distance)) pool.insert(start.distance, start.point);
  for (;;) {
    int32_t count = 0;
    for (size_t i = 0; i < expandedAtOnce; i++) {
      const int32_t current = pool.take();
      if (current < 0 && i == 0) return;
      if (current >= 0) count += visited.fresh(points_.list(current, level), slots, limit, fresh + count);
    }
    // The lists of the likely next ones are on their way while these are measured.
    if (level == 0) pool.peek(expandedAtOnce, [&](int32_t next) { points_.fetchGround(next); });
    measureAll(query, fresh, static_cast<size_t>(count), [&](float d, int32_t point) {
      if (!pool.admits(d)) return;
      pool.insert(d, point);
      if (level == 0 && pool.next() == point) points_.fetchGround(point);
    });
  }
}

template Candidate Walk::descend(const CodeQuery&, Candidate, int32_t, int32_t, int32_t);
template Candidate Walk::descend(const FloatQuery&, Candidate, int32_t, int32_t, int32_t);
template void Walk::expand(const CodeQuery&, const std::vector<Candidate>&, int32_t, size_t, int32_t);
template void Walk::expand(const FloatQuery&, const std::vector<Candidate>&, int32_t, size_t, int32_t);

}  // namespace vectron
