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

/** Ends early once no further candidate can be among the best, as far as the error of 8 bits goes. */
void Searcher::rank(Top& top, size_t wanted, Hits& hits) const {
  size_t ranked = 0;
  for (size_t i = 0; i < scratch.pool.size() && ranked < wanted; i++) {
    const auto [distance, point] = scratch.pool.at(i);
    if (points_.isDead(point)) continue;
    if (top.full() && distance - codeQuery.slack(options_.form(), points_.sums(point), distance) > top.worst()) break;
    ranked++;
    top.offer(exactDistance(point), point);
  }
  hits.distances += ranked;
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
  const size_t k = request.k;
  const uint64_t wide = ef + ef * static_cast<uint64_t>(points_.dead()) / std::max<uint64_t>(living, 1);
  const uint64_t widened = std::min<uint64_t>(wide, ef * widenMost);
  if (request.unquantised) {
    walk(FloatQuery(query_.data(), points_.vector(0), query_.size()), widened, entry, linked, hits);
    const Pool& pool = scratch.pool;
    for (size_t i = 0; i < pool.size(); i++)
      if (!points_.isDead(pool.at(i).point)) top.offer(pool.at(i).distance, pool.at(i).point);
  } else {
    codeQuery.fromVector(points_.shape, query_.data());
    walk(codeQuery, widened, entry, linked, hits);
    rank(top, std::max(k, std::min(ef, k + rerankExtra)), hits);
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

bool Searcher::walkWithin(const Request& request, Top& top, size_t ef, Hits& hits) const {
  const Entry entry = points_.entry();
  const int32_t linked = points_.linked();
  const LabelSet& set = *request.allowed;
  hits.matches = set.count();
  hits.strategy = request.strategy;
  const RowFilter filter(points_, set, setScratch.words);
  Walk walk(points_, kernels_, options_.form(), scratch);
  codeQuery.fromVector(points_.shape, query_.data());
  const Candidate entered{walk.distance(codeQuery, entry.point), entry.point};
  const Candidate start = walk.descend(codeQuery, entered, entry.level, 0, linked);
  const uint64_t distancesMax = request.distancesMax > 0 ? request.distancesMax : hits.matches;
  SetWalk inside(walk, points_, codeQuery, filter, scratch, setScratch, linked, distancesMax);
  const bool done = request.strategy == Strategy::walk ? inside.collecting(start, ef) : inside.twoHop(start, ef);
  hits.distances += walk.distances;
  hits.visited += std::max(inside.visited, walk.distances);
  if (!done) return false;
  rank(top, std::max<size_t>(request.k, std::min<size_t>(ef, request.k + rerankExtra)), hits);
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
  const size_t wanted = request.exact ? 0 : request.k + rerankExtra;
  Walk walk(points_, kernels_, options_.form(), scratch);
  if (!request.exact) codeQuery.fromVector(points_.shape, query_.data());
  Pool& pool = scratch.pool;
  pool.reset(wanted);
  int32_t rows[block];
  size_t count = 0;
  hits.matches = 0;
  const auto measure = [&] {
    hits.matches += count;
    if (request.exact) {
      for (size_t i = 0; i < count; i++) top.offer(exactDistance(rows[i]), rows[i]);
      hits.distances += count;
    } else {
      walk.measureAll(codeQuery, rows, count, [&](float distance, int32_t row) {
        if (pool.admits(distance)) pool.insert(distance, row);
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
  if (!request.exact) rank(top, wanted, hits);
  hits.visited += hits.matches;
}

}  // namespace vectron
