#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace vectron {

/** A search as it was answered, and over what: the first `count` rows of the points of a generation, of which `dead` were dead. */
struct AnsweredSearch {
  uint64_t generation = 0;
  int32_t count = 0;
  int32_t dead = 0;
  size_t k = 0;
  /** Prepared. */
  std::vector<float> query;
  std::vector<std::string> ids;
};

/**
 * How good the searches of real clients are: now and then one is kept, to be answered again exactly by a builder.
 *
 *  1. One is kept at most, and one in so long that looking at all rows takes about a hundredth of a
 *     processor, a second at least: a search pays a copy of itself for it, seldom, and never waits.
 *  2. Figures only grow. Searches whose rows changed before they were answered again are left out.
 */
class RecallMonitor {
 public:
  /** Cheap: asked by every search. */
  bool wantsOne() const { return isFree_.load(std::memory_order_relaxed) && isTime(); }
  void keep(AnsweredSearch&& search);
  /** How long after one over so many floats the next is kept. */
  static int64_t pauseMillis(double floats);
  /** False: none is kept. */
  bool take(AnsweredSearch& search);
  /** Of `expected` nearest points `found` had been found. */
  void count(uint64_t found, uint64_t expected);

  uint64_t found() const { return found_.load(); }
  uint64_t expected() const { return expected_.load(); }

 private:
  bool isTime() const;

  std::mutex lock_;
  AnsweredSearch kept_;
  std::atomic<bool> isFree_{true};
  std::atomic<int64_t> nextMillis_{0};
  std::atomic<uint64_t> found_{0};
  std::atomic<uint64_t> expected_{0};
};

}  // namespace vectron
