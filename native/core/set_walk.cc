#include "set_walk.h"

#include <algorithm>

namespace vectron {
namespace {

/** Points of the set from which a two-hop walk begins as well. */
constexpr size_t seeds = 8;

struct Farther {
  bool operator()(const Candidate& a, const Candidate& b) const { return a.distance > b.distance; }
};

}  // namespace

/** A point of the frontier that could not better `ef` kept ones need not wait there. */
template <typename Query>
void SetWalk<Query>::meet(float distance, int32_t point, size_t ef) {
  Pool& pool = scratch_.pool;
  const bool full = pool.size() == ef;
  if (full && !pool.admits(distance)) return;
  own_.frontier.push_back({distance, point});
  std::push_heap(own_.frontier.begin(), own_.frontier.end(), Farther());
  visited++;
  if (filter_.has(point)) pool.insert(distance, point);
}

template <typename Query>
bool SetWalk<Query>::collecting(Candidate start, size_t ef) {
  Pool& pool = scratch_.pool;
  pool.reset(ef);
  scratch_.visited.reset(static_cast<size_t>(limit_));
  own_.frontier.clear();
  scratch_.visited.mark(start.point);
  meet(start.distance, start.point, ef);
  while (!own_.frontier.empty()) {
    const Candidate nearest = own_.frontier.front();
    if (pool.size() == ef && nearest.distance > pool.at(ef - 1).distance) return true;
    if (walk_.distances > distancesMax_) return false;
    std::pop_heap(own_.frontier.begin(), own_.frontier.end(), Farther());
    own_.frontier.pop_back();
    own_.fresh.clear();
    const int32_t* const list = points_.list(nearest.point, 0);
    for (int32_t j = 0; j < points_.slots(0); j++) {
      const int32_t point = loadRelaxed(list + j);
      if (point < 0) break;
      if (point >= limit_ || !scratch_.visited.mark(point)) continue;
      own_.fresh.push_back(point);
    }
    walk_.measureAll(query_, own_.fresh.data(), own_.fresh.size(),
                     [&](float distance, int32_t point) { meet(distance, point, ef); });
  }
  return true;
}

template <typename Query>
bool SetWalk<Query>::twoHop(Candidate start, size_t ef) {
  Pool& pool = scratch_.pool;
  pool.reset(ef);
  scratch_.visited.reset(static_cast<size_t>(limit_));
  own_.fresh.clear();
  const auto begin = [&](int32_t point) {
    if (point < limit_ && scratch_.visited.mark(point) && filter_.has(point)) own_.fresh.push_back(point);
  };
  begin(start.point);
  filter_.sample(seeds, begin);
  gather(start.point);
  measure();
  for (int32_t current = pool.take(); current >= 0; current = pool.take()) {
    if (walk_.distances > distancesMax_) return false;
    own_.fresh.clear();
    gather(current);
    measure();
  }
  return true;
}

template <typename Query>
void SetWalk<Query>::gather(int32_t point) {
  const int32_t* const list = points_.list(point, 0);
  for (int32_t j = 0; j < points_.slots(0); j++) {
    const int32_t neighbour = loadRelaxed(list + j);
    if (neighbour < 0) return;
    if (neighbour >= limit_ || !scratch_.visited.mark(neighbour)) continue;
    visited++;
    if (filter_.has(neighbour)) own_.fresh.push_back(neighbour);
    else gatherBeyond(neighbour);
  }
}

template <typename Query>
void SetWalk<Query>::gatherBeyond(int32_t other) {
  const int32_t* const list = points_.list(other, 0);
  for (int32_t j = 0; j < points_.slots(0); j++) {
    const int32_t point = loadRelaxed(list + j);
    if (point < 0) return;
    if (point >= limit_ || scratch_.visited.marked(point)) continue;
    visited++;
    // Others stay unmarked: met again one step away, they lead on.
    if (!filter_.has(point)) continue;
    scratch_.visited.mark(point);
    own_.fresh.push_back(point);
  }
}

template <typename Query>
void SetWalk<Query>::measure() {
  Pool& pool = scratch_.pool;
  walk_.measureAll(query_, own_.fresh.data(), own_.fresh.size(), [&](float distance, int32_t point) {
    if (pool.admits(distance)) pool.insert(distance, point);
  });
}

template class SetWalk<CodeQuery>;
template class SetWalk<FloatQuery>;

}  // namespace vectron
