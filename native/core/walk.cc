#include "walk.h"

#include <algorithm>
#include <cstring>

namespace vectron {

void Pool::reset(size_t capacity) {
  capacity_ = capacity;
  size_ = next_ = 0;
  if (distances_.size() > capacity) return;
  distances_.resize(capacity + 1);
  points_.resize(capacity + 1);
}

void Pool::insert(float distance, int32_t point) {
  float* const distances = distances_.data();
  int32_t* const points = points_.data();
  // Counted, not searched: the compiler makes vectors of it, and no branch is guessed wrong.
  uint32_t at = 0;
  for (size_t i = 0; i < size_; i++) at += distances[i] <= distance ? 1 : 0;
  // One slot more than the capacity exists, so the worst falls off without a branch.
  std::memmove(distances + at + 1, distances + at, (size_ - at) * sizeof *distances);
  std::memmove(points + at + 1, points + at, (size_ - at) * sizeof *points);
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

void Visited::reset(size_t points) {
  if (tags_.size() < points) tags_.resize(points * 5 / 4 + 64, 0);
  if (++tag_ != 0) return;
  std::fill(tags_.begin(), tags_.end(), uint16_t{0});
  tag_ = 1;
}

Candidate Walk::descend(const CodeQuery& query, Candidate start, int32_t from, int32_t to, int32_t limit) {
  Candidate best = start;
  for (int32_t level = from; level > to; level--) {
    for (bool moved = true; moved;) {
      moved = false;
      const int32_t* const list = points_.list(best.point, level);
      const int32_t slots = points_.slots(level);
      for (int32_t j = 0; j < slots; j++) {
        const int32_t point = loadRelaxed(list + j);
        if (point < 0) break;
        if (point >= limit) continue;
        const float d = distance(query, point);
        if (d < best.distance) {
          best = {d, point};
          moved = true;
        }
      }
    }
  }
  return best;
}

void Walk::expand(const CodeQuery& query, const std::vector<Candidate>& starts, int32_t level, size_t ef,
                  int32_t limit) {
  Pool& pool = scratch_.pool;
  Visited& visited = scratch_.visited;
  const int32_t slots = points_.slots(level);
  scratch_.fresh.resize(static_cast<size_t>(slots));
  int32_t* const fresh = scratch_.fresh.data();
  pool.reset(ef);
  visited.reset(static_cast<size_t>(limit));
  for (const Candidate& start : starts)
    if (visited.mark(start.point) && pool.admits(start.distance)) pool.insert(start.distance, start.point);
  for (int32_t current = pool.take(); current >= 0; current = pool.take()) {
    const int32_t* const list = points_.list(current, level);
    int32_t count = 0;
    for (int32_t j = 0; j < slots; j++) {
      const int32_t point = loadRelaxed(list + j);
      if (point < 0) break;
      if (point >= limit || !visited.mark(point)) continue;
      fresh[count++] = point;
    }
    // The likely next one's list is on its way while these are measured.
    if (level == 0 && pool.next() >= 0) points_.fetchGround(pool.next());
    measureAll(query, fresh, static_cast<size_t>(count), [&](float d, int32_t point) {
      if (pool.admits(d)) pool.insert(d, point);
    });
  }
}

}  // namespace vectron
