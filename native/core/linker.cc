#include "linker.h"

#include <algorithm>
#include <mutex>

namespace vectron {
namespace {

/** Of all lists of the process: what two linkers want at once is seldom behind the same one. */
constexpr size_t listLocks = 1024;

std::mutex& lockOf(const int32_t* list) {
  static std::mutex locks[listLocks];
  return locks[(reinterpret_cast<uintptr_t>(list) / 64) % listLocks];
}

void store(int32_t* list, int32_t slots, const std::vector<Candidate>& points) {
  for (size_t j = 0; j < static_cast<size_t>(slots); j++)
    storeRelaxed(list + j, j < points.size() ? points[j].point : -1);
}

/** A point that others are measured from, and one more. */
template <typename Query>
struct TwoAims {
  Query aimed, other;
};

void aim(CodeQuery& query, const Kernels& kernels, const Points& points, int32_t point) {
  query.fromRow(points.shape, points.rows().row(point), points.sums(point));
  query.onSphere(points.longest());
  if (points.measuresVectors()) query.onVectors(kernels, points.vector(point), points.vector(0));
}

void aim(FloatQuery& query, const Kernels&, const Points& points, int32_t point) {
  query = FloatQuery(point, points.vector(0), points.lengths(), points.shape.dimension, points.longest());
}

}  // namespace

/** Of one thread, for all indexes it links. */
struct Linker::Scratch {
  /** Takes all memory that linking a point needs. */
  void prepare(const Options& options, const Points& points) {
    const auto slots = static_cast<size_t>(points.slots(0));
    walk.reserve(options.efConstruction, static_cast<size_t>(points.count()), slots);
    if (points.quantised())
      for (CodeQuery* query : {&byCodes.aimed, &byCodes.other}) query->reserve(points.shape);
    for (auto* list : {&starts, &near}) list->reserve(options.efConstruction + 1);
    for (auto* list : {&selected, &crowded}) list->reserve(slots + 1);
    if (lists.size() < levelsMax) lists.resize(levelsMax);
    for (auto& list : lists) list.reserve(options.m);
  }

  /** More than the generator of levels ever gives. */
  static constexpr size_t levelsMax = 64;
  vectron::Scratch walk;
  TwoAims<CodeQuery> byCodes;
  TwoAims<FloatQuery> byVectors;
  std::vector<Candidate> starts, near, selected, crowded;
  /** Planned, a level each; `top` is the highest, -1 for none. */
  std::vector<std::vector<Candidate>> lists;
  int32_t top = -1;
};

Linker::Scratch& Linker::scratch() {
  static thread_local Scratch own;
  return own;
}

bool Linker::linkNext(Points& points, LinkTurns::Time until) const {
  Scratch& own = scratch();
  own.prepare(options_, points);
  const int32_t point = points.turns.take(points, until);
  if (point < 0) return false;
  if (points.quantised()) link(points, point, own, own.byCodes);
  else link(points, point, own, own.byVectors);
  points.turns.done(points, point);
  return true;
}

template <typename Query>
float Linker::distance(const Query& query, const Points& points, int32_t point) const {
  return query.distance(kernels_, options_.linkForm(), points.rows(), point);
}

/** The entry is taken before the count of those linked, so that it is among them. */
template <typename Aims>
void Linker::plan(const Points& points, int32_t point, Scratch& own, Aims& aims) const {
  const Entry entry = points.entry();
  const int32_t linked = points.linked();
  own.top = std::min(points.level(point), entry.level);
  if (own.top < 0) return;
  Walk walk(points, kernels_, options_.linkForm(), own.walk);
  aim(aims.aimed, kernels_, points, point);
  const float self = distance(aims.aimed, points, point);
  const Candidate entered{walk.distance(aims.aimed, entry.point), entry.point};
  own.starts.assign(1, walk.descend(aims.aimed, entered, entry.level, own.top, linked));
  for (int32_t level = own.top; level >= 0; level--) {
    walk.expand(aims.aimed, own.starts, level, options_.efConstruction, linked);
    own.near.clear();
    for (size_t i = 0; i < own.walk.pool.size(); i++) own.near.push_back(own.walk.pool.at(i));
    select(points, own.near, self, static_cast<int32_t>(options_.m), own, aims);
    own.lists[static_cast<size_t>(level)] = own.selected;
    own.starts.swap(own.near);
  }
}

template <typename Aims>
void Linker::link(const Points& points, int32_t point, Scratch& own, Aims& aims) const {
  plan(points, point, own, aims);
  for (int32_t level = 0; level <= own.top; level++)
    store(points.list(point, level), points.slots(level), own.lists[static_cast<size_t>(level)]);
  for (int32_t level = 0; level <= own.top; level++)
    for (const Candidate& neighbour : own.lists[static_cast<size_t>(level)])
      linkBack(points, neighbour, point, level, own, aims);
}

template <typename Aims>
void Linker::linkBack(const Points& points, Candidate neighbour, int32_t point, int32_t level, Scratch& own,
                      Aims& aims) const {
  int32_t* const list = points.list(neighbour.point, level);
  const int32_t slots = points.slots(level);
  const std::lock_guard<std::mutex> lock(lockOf(list));
  int32_t used = 0;
  while (used < slots && loadRelaxed(list + used) >= 0) used++;
  if (used < slots) return storeRelaxed(list + used, point);
  aim(aims.other, kernels_, points, neighbour.point);
  const float self = distance(aims.other, points, neighbour.point);
  own.crowded.assign(1, {neighbour.distance, point});
  for (int32_t j = 0; j < used; j++) {
    const int32_t id = loadRelaxed(list + j);
    own.crowded.push_back({distance(aims.other, points, id), id});
  }
  std::sort(own.crowded.begin(), own.crowded.end(), [](auto& a, auto& b) { return a.distance < b.distance; });
  select(points, own.crowded, self, slots, own, aims);
  store(list, slots, own.selected);
}

template <typename Aims>
void Linker::select(const Points& points, const std::vector<Candidate>& candidates, float self, int32_t most,
                    Scratch& own, Aims& aims) const {
  std::vector<Candidate>& selected = own.selected;
  selected.clear();
  int32_t equals = 0;
  for (const Candidate& candidate : candidates) {
    if (static_cast<int32_t>(selected.size()) == most) return;
    if (candidate.distance <= self && ++equals > most / 2) continue;
    aim(aims.other, kernels_, points, candidate.point);
    const bool kept = std::all_of(selected.begin(), selected.end(), [&](const Candidate& before) {
      return distance(aims.other, points, before.point) >= candidate.distance;
    });
    if (kept) selected.push_back(candidate);
  }
}

}  // namespace vectron
