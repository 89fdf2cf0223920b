#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "points.h"

namespace vectron {

/**
 * A caller's set of labels: a bitmap of 32-bit words, or a list without repeats. A view: the memory is the caller's and
 * must not change while it is used.
 */
struct LabelSet {
  const uint32_t* words = nullptr;
  const uint32_t* list = nullptr;
  /** Words, or labels in the list. */
  size_t length = 0;

  uint64_t count() const {
    if (list != nullptr) return length;
    uint64_t total = 0;
    for (size_t i = 0; i < length; i++) total += static_cast<uint64_t>(__builtin_popcount(words[i]));
    return total;
  }
  /** Calls visit(label) for each, in the order of the bitmap or the list. */
  template <typename Visit>
  void forEach(Visit visit) const {
    if (list != nullptr) {
      for (size_t i = 0; i < length; i++) visit(list[i]);
      return;
    }
    for (size_t i = 0; i < length; i++)
      for (uint32_t word = words[i]; word != 0; word &= word - 1)
        visit(static_cast<uint32_t>(i * 32) + static_cast<uint32_t>(__builtin_ctz(word)));
  }
};

/** Answers for a row whether it is alive and its label is in the set. A list is spread into a bitmap of its own. */
class RowFilter {
 public:
  RowFilter(const Points& points, const LabelSet& set, std::vector<uint32_t>& scratch)
      : points_(points), words_(set.words), labels_(static_cast<uint64_t>(set.length) * 32) {
    if (set.list == nullptr) return;
    scratch.assign(points.labelCapacity() / 32 + 1, 0);
    for (size_t i = 0; i < set.length; i++)
      if (set.list[i] < points.labelCapacity()) scratch[set.list[i] / 32] |= 1u << (set.list[i] % 32);
    words_ = scratch.data();
    labels_ = points.labelCapacity();
  }
  bool has(int32_t row) const {
    const uint32_t label = points_.label(row);
    return label < labels_ && ((words_[label / 32] >> (label % 32)) & 1) != 0 && !points_.isDead(row);
  }
  /** Up to `most` rows of the set that lie far apart in the order of labels. */
  template <typename Visit>
  void sample(size_t most, Visit visit) const {
    const size_t words = (std::min<uint64_t>(labels_, points_.labelCapacity()) + 31) / 32;
    size_t at = 0;
    for (size_t i = 0; i < most; i++) {
      at = std::max(at, words * i / most);
      while (at < words && words_[at] == 0) at++;
      if (at == words) return;
      const uint32_t label = static_cast<uint32_t>(at * 32) + static_cast<uint32_t>(__builtin_ctz(words_[at]));
      at++;
      const int32_t row = label < points_.labelCapacity() ? points_.rowOf(label) : -1;
      if (row >= 0) visit(row);
    }
  }

 private:
  const Points& points_;
  const uint32_t* words_;
  uint64_t labels_;
};

}  // namespace vectron
