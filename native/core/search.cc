#include "search.h"

#include <algorithm>

#include "set_walk.h"

namespace vectron {
namespace {

/** Candidates by 8-bit distance that are measured again in float32, beyond k. */
constexpr size_t rerankExtra = 20;
/** With tombstones among them, a walk keeps more candidates, up to this many times ef. */
constexpr uint64_t widenMost = 4;
/** Rows of a set that are looked up before they are measured. */
constexpr size_t block = 64;

/** Per thread, so that searches of any number of indexes share it and allocate nothing. */
thread_local Scratch scratch;
thread_local SetScratch setScratch;
thread_local std::vector<Candidate> starts;
thread_local CodeQuery codeQuery;
/** What a scan by codes measured, each with the least that its distance may be; the nearest by code are in the pool too. */
thread_local std::vector<Candidate> measured;
thread_local std::vector<int32_t> pooled;
/** More than these are not kept for the next scan. */
constexpr size_t measuredKept = 1 << 18;

}  // namespace

float Searcher::exactDistance(int32_t point) const {
  const float* const vector = points_.vector(point);
  if (options_.form() == Form::squaredL2) return kernels_.squaredL2(query_.data(), vector, query_.size());
  return -kernels_.dot(query_.data(), vector, query_.size());
}

void Searcher::scanRows(int32_t from, int32_t to, Top& top, Hits& hits) const {
  for (int32_t i = from; i < to; i++) {
    if (points_.isDead(i)) continue;
    hits.distances++;
    top.offer(exactDistance(i), i);
  }
}

void Searcher::aim() const {
  codeQuery.fromVector(points_.shape, query_.data());
  if (points_.measuresVectors()) codeQuery.onVectors(kernels_, query_.data(), points_.vector(0));
}

bool Searcher::mayBeat(const Top& top, Candidate candidate) const {
  if (!top.full() || candidate.distance <= top.worst()) return true;
  const float slack = codeQuery.slack(options_.form(), points_.sums(candidate.point), candidate.distance);
  return candidate.distance - slack <= top.worst();
}

void Searcher::rank(Top& top, Hits& hits) const {
  for (size_t i = 0; i < scratch.pool.size(); i++) {
    const Candidate candidate = scratch.pool.at(i);
    if (points_.isDead(candidate.point)) continue;
    if (!mayBeat(top, candidate)) return;
    hits.distances++;
    top.offer(exactDistance(candidate.point), candidate.point);
  }
}

/** The pool goes first: after it few of the others may still be better, unless codes say little. */
void Searcher::rankMeasured(Top& top, Hits& hits) const {
  const auto offer = [&](int32_t point) {
    hits.distances++;
    top.offer(exactDistance(point), point);
  };
  const Pool& pool = scratch.pool;
  pooled.clear();
  for (size_t i = 0; i < pool.size(); i++) {
    pooled.push_back(pool.at(i).point);
    if (mayBeat(top, pool.at(i))) offer(pool.at(i).point);
  }
  std::sort(pooled.begin(), pooled.end());
  for (const Candidate& atLeast : measured) {
    if (top.full() && atLeast.distance > top.worst()) continue;
    if (!std::binary_search(pooled.begin(), pooled.end(), atLeast.point)) offer(atLeast.point);
  }
  measured.clear();
  if (measured.capacity() > measuredKept) measured.shrink_to_fit();
}

void Searcher::takePool(Top& top) const {
  const Pool& pool = scratch.pool;
  for (size_t i = 0; i < pool.size(); i++)
    if (!points_.isDead(pool.at(i).point)) top.offer(pool.at(i).distance, pool.at(i).point);
}

void Searcher::all(const Request& request, Top& top, size_t ef, uint64_t living, Hits& hits) const {
  hits.matches = living;
  hits.strategy = ef > 0 ? Strategy::graph : Strategy::scan;
  if (ef > 0) walkAll(request, top, ef, living, hits);
  else scanRows(0, points_.count(), top, hits);
  hits.visited = hits.distances;
}

template <typename Query>
void Searcher::walk(const Query& query, size_t ef, Entry entry, int32_t linked, Hits& hits) const {
  Walk walk(points_, kernels_, options_.form(), scratch);
  const Candidate start{walk.distance(query, entry.point), entry.point};
  starts.assign(1, walk.descend(query, start, entry.level, 0, linked));
  walk.expand(query, starts, 0, ef, linked);
  hits.distances += walk.distances;
}

/** The entry is taken before `linked`, and that before `count` (Points, invariant 3). */
void Searcher::walkAll(const Request& request, Top& top, size_t ef, uint64_t living, Hits& hits) const {
  const Entry entry = points_.entry();
  const int32_t linked = points_.linked();
  const uint64_t wide = ef + ef * static_cast<uint64_t>(points_.dead()) / std::max<uint64_t>(living, 1);
  const uint64_t widened = std::min<uint64_t>(wide, ef * widenMost);
  if (byVectors(request)) {
    walk(floatQuery(), widened, entry, linked, hits);
    takePool(top);
  } else {
    aim();
    walk(codeQuery, widened, entry, linked, hits);
    rank(top, hits);
  }
  scanRows(linked, points_.count(), top, hits);
}

void Searcher::within(const Request& request, Top& top, size_t ef, bool graph, Hits& hits) const {
  const bool walks = request.strategy == Strategy::walk || request.strategy == Strategy::twoHop;
  if (!request.exact && graph && walks && walkWithin(request, top, ef, hits)) return;
  hits.fellBack = hits.visited > 0;
  hits.strategy = Strategy::scan;
  top.clear();
  scanWithin(request, top, hits);
}

template <typename Query>
bool Searcher::collect(const Query& query, const Request& request, const RowFilter& filter, size_t ef, Entry entry,
                       int32_t linked, Hits& hits) const {
  Walk walk(points_, kernels_, options_.form(), scratch);
  const Candidate entered{walk.distance(query, entry.point), entry.point};
  const Candidate start = walk.descend(query, entered, entry.level, 0, linked);
  const uint64_t distancesMax = request.distancesMax > 0 ? request.distancesMax : hits.matches;
  SetWalk<Query> inside(walk, points_, query, filter, scratch, setScratch, linked, distancesMax);
  const bool done = request.strategy == Strategy::walk ? inside.collecting(start, ef) : inside.twoHop(start, ef);
  hits.distances += walk.distances;
  hits.visited += std::max(inside.visited, walk.distances);
  return done;
}

bool Searcher::walkWithin(const Request& request, Top& top, size_t ef, Hits& hits) const {
  const Entry entry = points_.entry();
  const int32_t linked = points_.linked();
  const LabelSet& set = *request.allowed;
  hits.matches = set.count();
  hits.strategy = request.strategy;
  const RowFilter filter(points_, set, setScratch.words);
  if (byVectors(request)) {
    if (!collect(floatQuery(), request, filter, ef, entry, linked, hits)) return false;
    takePool(top);
  } else {
    aim();
    if (!collect(codeQuery, request, filter, ef, entry, linked, hits)) return false;
    rank(top, hits);
  }
  for (int32_t i = linked; i < points_.count(); i++) {
    hits.visited++;
    if (!filter.has(i)) continue;
    hits.distances++;
    top.offer(exactDistance(i), i);
  }
  return top.size() >= std::min<uint64_t>(request.k, hits.matches);
}

/** In blocks: labels become rows, whose codes are on their way while those before are measured. */
void Searcher::scanWithin(const Request& request, Top& top, Hits& hits) const {
  const bool exact = request.exact || byVectors(request) || points_.measuresVectors();
  Walk walk(points_, kernels_, options_.form(), scratch);
  if (!exact) aim();
  Pool& pool = scratch.pool;
  pool.reset(exact ? 0 : request.k + rerankExtra);
  measured.clear();
  const Form form = options_.form();
  int32_t rows[block];
  size_t count = 0;
  hits.matches = 0;
  const auto measure = [&] {
    hits.matches += count;
    if (exact) {
      for (size_t i = 0; i < count; i++) top.offer(exactDistance(rows[i]), rows[i]);
      hits.distances += count;
    } else {
      // The error is looked up here, while the row is at hand.
      walk.measureAll(codeQuery, rows, count, [&](float distance, int32_t row) {
        if (pool.admits(distance)) pool.insert(distance, row);
        measured.push_back({distance - codeQuery.slack(form, points_.sums(row), distance), row});
      });
    }
    count = 0;
  };
  const uint64_t labels = points_.labelCapacity();
  request.allowed->forEach([&](uint32_t label) {
    const int32_t row = label < labels ? points_.rowOf(label) : -1;
    if (row < 0 || points_.isDead(row)) return;
    rows[count++] = row;
    if (count == block) measure();
  });
  measure();
  hits.distances += walk.distances;
  if (!exact) rankMeasured(top, hits);
  hits.visited += hits.matches;
}

}  // namespace vectron
