#include "linker.h"

#include <algorithm>

namespace vectron {

Linker::Linker(const Options& options, const Kernels& kernels) : options_(options), kernels_(kernels) {}

void Linker::linkNext(Points& points) {
  const int32_t point = points.linked();
  plan(points, point);
  commit();
  points.publishLink(point);
}

void Linker::aim(CodeQuery& query, const Points& points, int32_t point) {
  query.fromRow(points.shape, points.rows().row(point), points.sums(point));
  query.onSphere(points.longest());
}

float Linker::distance(const CodeQuery& query, const Points& points, int32_t point) const {
  return query.distance(kernels_, options_.linkForm(), points.rows(), point);
}

void Linker::plan(const Points& points, int32_t point) {
  edits_.clear();
  editIds_.clear();
  const Entry entry = points.entry();
  if (entry.level < 0) return;
  const int32_t top = std::min(points.level(point), entry.level);
  Walk walk(points, kernels_, options_.linkForm(), scratch_);
  aim(query_, points, point);
  starts_.assign(1, walk.descend(query_, {walk.distance(query_, entry.point), entry.point}, entry.level, top, point));
  for (int32_t level = top; level >= 0; level--) {
    walk.expand(query_, starts_, level, options_.efConstruction, point);
    near_.clear();
    for (size_t i = 0; i < scratch_.pool.size(); i++) near_.push_back(scratch_.pool.at(i));
    planLevel(points, point, level, near_);
    starts_ = near_;
  }
}

void Linker::planLevel(const Points& points, int32_t point, int32_t level, const std::vector<Candidate>& near) {
  select(points, near, distance(query_, points, point), static_cast<int32_t>(options_.m));
  addEdit(points.list(point, level), selected_, points.slots(level));
  const std::vector<Candidate> neighbours = selected_;
  for (const Candidate& neighbour : neighbours) planBackLink(points, neighbour, point, level);
}

void Linker::planBackLink(const Points& points, Candidate neighbour, int32_t point, int32_t level) {
  int32_t* const list = points.list(neighbour.point, level);
  const int32_t slots = points.slots(level);
  int32_t used = 0;
  while (used < slots && loadRelaxed(list + used) >= 0) used++;
  if (used < slots) {
    selected_.assign(1, {neighbour.distance, point});
    addEdit(list + used, selected_, 1);
    return;
  }
  aim(other_, points, neighbour.point);
  const float self = distance(other_, points, neighbour.point);
  crowded_.assign(1, {neighbour.distance, point});
  for (int32_t j = 0; j < used; j++) {
    const int32_t id = loadRelaxed(list + j);
    crowded_.push_back({distance(other_, points, id), id});
  }
  std::sort(crowded_.begin(), crowded_.end(), [](auto& a, auto& b) { return a.distance < b.distance; });
  select(points, crowded_, self, slots);
  addEdit(list, selected_, slots);
}

void Linker::select(const Points& points, const std::vector<Candidate>& candidates, float self, int32_t most) {
  selected_.clear();
  int32_t equals = 0;
  for (const Candidate& candidate : candidates) {
    if (static_cast<int32_t>(selected_.size()) == most) return;
    if (candidate.distance <= self && ++equals > most / 2) continue;
    aim(other_, points, candidate.point);
    const bool kept = std::all_of(selected_.begin(), selected_.end(), [&](const Candidate& before) {
      return distance(other_, points, before.point) >= candidate.distance;
    });
    if (kept) selected_.push_back(candidate);
  }
}

void Linker::addEdit(int32_t* at, const std::vector<Candidate>& list, int32_t slots) {
  edits_.push_back({at, editIds_.size(), static_cast<int32_t>(list.size()), slots});
  for (const Candidate& candidate : list) editIds_.push_back(candidate.point);
}

void Linker::commit() {
  for (const Edit& edit : edits_)
    for (int32_t j = 0; j < edit.slots; j++)
      storeRelaxed(edit.at + j, j < edit.count ? editIds_[edit.from + static_cast<size_t>(j)] : -1);
}

}  // namespace vectron
