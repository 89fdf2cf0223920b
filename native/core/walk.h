#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "float_query.h"
#include "kernels.h"
#include "points.h"

namespace vectron {

struct Candidate {
  float distance;
  int32_t point;
};

/**
 * The best `capacity` candidates seen, nearest first, each marked once its neighbours were looked at. Arrays kept sorted:
 * for the sizes a search uses, counting and shifting a few cache lines is cheaper than two heaps.
 */
class Pool {
 public:
  void reset(size_t capacity);
  void reserve(size_t capacity);
  bool admits(float distance) const { return size_ < capacity_ || distance < distances_[size_ - 1]; }
  void insert(float distance, int32_t point);
  /** The nearest candidate not yet taken, or -1. */
  int32_t take();
  /** The one that take() would give, if nothing came between. */
  int32_t next() const { return next_ < size_ ? points_[next_] & ~taken : -1; }
  /** Calls visit(point) for those that take() would give next, if nothing came between. */
  template <typename Visit>
  void peek(size_t most, Visit visit) const {
    for (size_t i = next_; i < size_ && most > 0; i++)
      if ((points_[i] & taken) == 0) {
        visit(points_[i]);
        most--;
      }
  }
  size_t size() const { return size_; }
  Candidate at(size_t i) const { return {distances_[i], points_[i] & ~taken}; }

 private:
  static constexpr int32_t taken = INT32_MIN;
  std::vector<float> distances_;
  std::vector<int32_t> points_;
  size_t capacity_ = 0, size_ = 0, next_ = 0;
};

/** Marks without clearing: a mark counts only with the tag of its walk. */
class Visited {
 public:
  void reset(size_t points);
  void reserve(size_t points);
  /** True the first time. */
  bool mark(int32_t point) {
    uint16_t& slot = tags_[static_cast<size_t>(point)];
    if (slot == tag_) return false;
    slot = tag_;
    return true;
  }
  /** Marks a list's points below `limit` and writes those that were not marked to `out`, which has room for all slots. */
  int32_t fresh(const int32_t* list, int32_t slots, int32_t limit, int32_t* out) {
    uint16_t* const tags = tags_.data();
    const uint16_t tag = tag_;
    int32_t count = 0;
    for (int32_t j = 0; j < slots; j++) {
      const int32_t point = loadRelaxed(list + j);
      if (point < 0) break;
      if (point >= limit) continue;
      // Without a branch: whether a point was met is as good as random.
      out[count] = point;
      count += tags[point] != tag ? 1 : 0;
      tags[point] = tag;
    }
    return count;
  }
  bool marked(int32_t point) const { return tags_[static_cast<size_t>(point)] == tag_; }

 private:
  std::vector<uint16_t> tags_;
  uint16_t tag_ = 0;
};

/** What one thread needs to walk; reused, so that a walk allocates nothing. */
struct Scratch {
  /** Takes what walks with `ef` over so many points with lists of so many slots need. */
  void reserve(size_t ef, size_t points, size_t slots);

  Pool pool;
  Visited visited;
  std::vector<int32_t> fresh;
  std::vector<int32_t> dots;
};

/**
 * The search of Malkov and Yashunin (2016), algorithms 2 and 5, by our own loop over FAISS's arrays. A query is a
 * CodeQuery, which measures 8-bit codes, or a FloatQuery, which measures vectors. The pool then holds the nearest `ef` points found on `level`, tombstones included, all
 * below `limit`.
 */
class Walk {
 public:
  Walk(const Points& points, const Kernels& kernels, Form form, Scratch& scratch)
      : points_(points), rows_(points.rows()), kernels_(kernels), form_(form), scratch_(scratch) {}

  /** Greedy from `start` on level `from` down to above level `to`. */
  template <typename Query>
  Candidate descend(const Query& query, Candidate start, int32_t from, int32_t to, int32_t limit);
  /** Fills the scratch's pool from the candidates in `starts`. */
  template <typename Query>
  void expand(const Query& query, const std::vector<Candidate>& starts, int32_t level, size_t ef, int32_t limit);
  template <typename Query>
  float distance(const Query& query, int32_t point) {
    distances++;
    return query.distance(kernels_, form_, rows_, point);
  }

  /** Calls met(distance, point) for each, their rows fetched ahead. */
  template <typename Query, typename Met>
  void measureAll(const Query& query, const int32_t* points, size_t count, Met met) {
    if (scratch_.dots.size() < count) scratch_.dots.resize(count);
    distances += count;
    query.distances(kernels_, form_, rows_, points, count, scratch_.dots.data(), met);
  }

  uint64_t distances = 0;

 private:
  const Points& points_;
  const CodeRows rows_;
  const Kernels& kernels_;
  const Form form_;
  Scratch& scratch_;
};

}  // namespace vectron
