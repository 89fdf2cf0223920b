#pragma once
#include <cstdint>
#include <vector>

#include "walk.h"

namespace vectron {

/**
 * Links one point at a time into the graph: Malkov and Yashunin (2016), algorithms 1 and 4, in two phases. plan() reads
 * the graph and works out every list that changes; commit() stores them. There is one linker, so what was planned still
 * holds at the commit; readers see lists change slot by slot (Points, invariant 4).
 */
class Linker {
 public:
  Linker(const Options& options, const Kernels& kernels);

  /** Links the first point of `points` that is not linked. */
  void linkNext(Points& points);

 private:
  /** `count` ids from `from` of editIds_ replace the slots at `at`; -1 where there are fewer than `slots`. */
  struct Edit {
    int32_t* at;
    size_t from;
    int32_t count;
    int32_t slots;
  };

  void plan(const Points& points, int32_t point);
  void planLevel(const Points& points, int32_t point, int32_t level, const std::vector<Candidate>& near);
  void planBackLink(const Points& points, Candidate neighbour, int32_t point, int32_t level);
  void commit();
  /**
   * Keeps of `candidates` (nearest first) up to `most`, each nearer to the base than to any kept before it. Of those equal
   * to the base, `self` away, at most half as many: a crowd of equal vectors must not be all that its members know.
   */
  void select(const Points& points, const std::vector<Candidate>& candidates, float self, int32_t most);
  void aim(CodeQuery& query, const Points& points, int32_t point);
  float distance(const CodeQuery& query, const Points& points, int32_t point) const;
  void addEdit(int32_t* at, const std::vector<Candidate>& list, int32_t slots);

  const Options& options_;
  const Kernels& kernels_;
  Scratch scratch_;
  CodeQuery query_, other_;
  std::vector<Candidate> starts_, near_, selected_, crowded_;
  std::vector<Edit> edits_;
  std::vector<int32_t> editIds_;
};

}  // namespace vectron
