#pragma once
#include <cstddef>
#include <cstdint>

#include "codes.h"
#include "kernels.h"
#include "options.h"

namespace vectron {

/** A query that measures vectors themselves, in float32: what CodeQuery is to rows of codes. A view of both. */
class FloatQuery {
 public:
  FloatQuery(const float* query, const float* vectors, size_t dimension)
      : query_(query), vectors_(vectors), dimension_(dimension) {}

  float distance(const Kernels& kernels, Form form, const CodeRows&, int32_t row) const {
    const float* const vector = at(row);
    if (form == Form::squaredL2) return kernels.squaredL2(query_, vector, dimension_);
    return -kernels.dot(query_, vector, dimension_);
  }
  template <typename Met>
  void distances(const Kernels& kernels, Form form, const CodeRows& all, const int32_t* rows, size_t count, int32_t*,
                 Met met) const {
    for (size_t i = 0; i < std::min(count, rowsAhead); i++) fetch(rows[i]);
    for (size_t i = 0; i < count; i++) {
      if (i + rowsAhead < count) fetch(rows[i + rowsAhead]);
      met(distance(kernels, form, all, rows[i]), rows[i]);
    }
  }

 private:
  const float* at(int32_t row) const { return vectors_ + static_cast<size_t>(row) * dimension_; }
  void fetch(int32_t row) const {
    fetchRow(reinterpret_cast<const uint8_t*>(at(row)), dimension_ * sizeof(float));
  }

  const float* const query_;
  const float* const vectors_;
  const size_t dimension_;
};

}  // namespace vectron
