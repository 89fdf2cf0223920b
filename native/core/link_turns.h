#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace vectron {

class Points;

/**
 * Which points of one Points are in whose hands while threads link them.
 *
 *  1. Points are handed out in the order of their offsets, and count as linked in that order too: once they and all before
 *     them are. What counts is what a walk sees, so that no walk ends at a point whose lists are still empty.
 *  2. Points that are under way at the same time do not see each other: they are few, beside those that are linked.
 *  3. Whoever took a point links it, come what may: nothing may be thrown between take() and done().
 */
class LinkTurns {
 public:
  using Time = std::chrono::steady_clock::time_point;

  LinkTurns() { underWay_.reserve(underWayMax); }

  /** The next point to link; -1: there is none, or too many are under way until `until`. */
  int32_t take(const Points& points, Time until);
  void done(Points& points, int32_t point);

 private:
  /** Beyond the first that is under way: what one slow thread may hold up. */
  static constexpr int32_t underWayMax = 64;
  /** One point may be under way for so many that are linked. */
  static constexpr int32_t linkedForOne = 32;

  bool mayTake(const Points& points) const;

  std::mutex lock_;
  std::condition_variable fewer_;
  /** In the order of their offsets. */
  std::vector<int32_t> underWay_;
  int32_t next_ = 0;
};

}  // namespace vectron
