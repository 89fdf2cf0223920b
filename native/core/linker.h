#pragma once
#include <cstdint>
#include <vector>

#include "link_turns.h"
#include "walk.h"

namespace vectron {

/**
 * Links points into the graph, one a call: Malkov and Yashunin (2016), algorithms 1 and 4. First it searches and works
 * out the point's own lists, then it stores them and enters the point in the lists of its neighbours. Any number of threads may link
 * into the same points:
 *
 *  1. A point's own lists are its linker's until it counts as linked (LinkTurns); a list of another point is changed under
 *     that list's lock, one at a time, which linkers alone take.
 *  2. Readers see lists change slot by slot (Points, invariant 7) and never wait.
 */
class Linker {
 public:
  Linker(const Options& options, const Kernels& kernels) : options_(options), kernels_(kernels) {}

  /** Links the next point. False: there is none, or none could be had until `until`. */
  bool linkNext(Points& points, LinkTurns::Time until) const;

 private:
  struct Scratch;
  static Scratch& scratch();

  /** `aims`: two queries that measure codes, or vectors where there are none. */
  template <typename Aims>
  void link(const Points& points, int32_t point, Scratch& own, Aims& aims) const;
  template <typename Aims>
  void plan(const Points& points, int32_t point, Scratch& own, Aims& aims) const;
  template <typename Aims>
  void linkBack(const Points& points, Candidate neighbour, int32_t point, int32_t level, Scratch& own,
                Aims& aims) const;
  /**
   * Keeps of `candidates` (nearest first) up to `most`, each nearer to the base than to any kept before it. Of those equal
   * to the base, `self` away, at most half as many: a crowd of equal vectors must not be all that its members know.
   */
  template <typename Aims>
  void select(const Points& points, const std::vector<Candidate>& candidates, float self, int32_t most, Scratch& own,
              Aims& aims) const;
  template <typename Query>
  float distance(const Query& query, const Points& points, int32_t point) const;

  const Options& options_;
  const Kernels& kernels_;
};

}  // namespace vectron
