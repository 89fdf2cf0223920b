#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "points.h"
#include "walk.h"

namespace vectron {

/** The order of JavaScript's `<` on strings: by UTF-16 code units, in which surrogate pairs
 * (lead byte 0xf0 and above) come before U+E000 to U+FFFF (0xee and 0xef). */
inline bool idBefore(std::string_view a, std::string_view b) {
  const auto difference = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (difference.first == a.end()) return difference.second != b.end();
  if (difference.second == b.end()) return false;
  const auto rank = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0xee && byte < 0xf0 ? byte + 0x100 : static_cast<int>(byte);
  };
  return rank(*difference.first) < rank(*difference.second);
}

/** The nearest k of the candidates offered; of equally distant ones the lower ids. */
class Top {
 public:
  Top(const Points& points, size_t k) : points_(points), k_(k) {}

  void offer(float distance, int32_t point) {
    const Candidate candidate{distance, point};
    if (heap_.size() < k_) {
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end(), before());
    } else if (distance <= heap_.front().distance && before()(candidate, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), before());
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end(), before());
    }
  }

  size_t size() const { return heap_.size(); }
  size_t wanted() const { return k_; }
  bool full() const { return heap_.size() >= k_; }
  float worst() const { return heap_.front().distance; }
  void clear() { heap_.clear(); }

  /** Nearest first. Ends the use of this object. */
  std::vector<Candidate>& sorted() {
    std::sort_heap(heap_.begin(), heap_.end(), before());
    return heap_;
  }

 private:
  struct Before {
    const Points& points;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.distance != b.distance) return a.distance < b.distance;
      return idBefore(points.id(a.point), points.id(b.point));
    }
  };
  Before before() const { return Before{points_}; }

  const Points& points_;
  const size_t k_;
  std::vector<Candidate> heap_;
};

}  // namespace vectron
