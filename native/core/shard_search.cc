#include <algorithm>
#include <chrono>
#include <shared_mutex>
#include <unordered_set>

#include "failure.h"
#include "shard_index.h"
#include "top.h"

/** The searches of ShardIndex. */
namespace vectron {
namespace {

constexpr uint32_t efLeast = 64;

using Clock = std::chrono::steady_clock;

thread_local std::vector<float> prepared;

}  // namespace

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

/** Under a share of linking_, which keeps the points where they are: neither searches nor writes wait. */
void ShardIndex::auditRecall() {
  AnsweredSearch search;
  if (!recall_.take(search)) return;
  const std::shared_lock<ReadWriteLock> linking(linking_);
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
  else searcher.all(request, top, graph ? ef : 0, static_cast<uint64_t>(liveCount_.load()), hits);
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
