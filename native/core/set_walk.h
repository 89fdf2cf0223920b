#pragma once
#include <cstdint>
#include <vector>

#include "label_set.h"
#include "walk.h"

namespace vectron {

/** Reused by walks within a set. */
struct SetScratch {
  std::vector<Candidate> frontier;
  std::vector<uint32_t> words;
  std::vector<int32_t> fresh;
};

/**
 * Walks on level 0 that find only rows of a set. The scratch's pool then holds the nearest `ef` of them that were met,
 * all below `limit`. A query is one of those of Walk. Both give up, and say so, once `distancesMax` distances were computed.
 */
template <typename Query>
class SetWalk {
 public:
  SetWalk(Walk& walk, const Points& points, const Query& query, const RowFilter& filter, Scratch& scratch,
          SetScratch& own, int32_t limit, uint64_t distancesMax)
      : walk_(walk), points_(points), query_(query), filter_(filter), scratch_(scratch), own_(own), limit_(limit),
        distancesMax_(distancesMax) {}

  /**
   * As if there were no set: any point leads on, those of the set are kept. Ends when the nearest point that leads on is
   * farther than the worst of `ef` kept. False: given up.
   */
  bool collecting(Candidate start, size_t ef);
  /**
   * Over points of the set alone, stepping across others to their neighbours: Patel et al. (2024), "ACORN", section 5.2,
   * its variant that compresses nothing. Begins at the start's surroundings and at some points of the set, for a query
   * far from all of them. False: given up.
   */
  bool twoHop(Candidate start, size_t ef);

  /** Points asked whether they are in the set. */
  uint64_t visited = 0;

 private:
  void meet(float distance, int32_t point, size_t ef);
  void gather(int32_t point);
  void gatherBeyond(int32_t other);
  void measure();

  Walk& walk_;
  const Points& points_;
  const Query& query_;
  const RowFilter& filter_;
  Scratch& scratch_;
  SetScratch& own_;
  const int32_t limit_;
  const uint64_t distancesMax_;
};

}  // namespace vectron
