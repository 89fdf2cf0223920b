#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "codes.h"
#include "kernels.h"
#include "options.h"

namespace vectron {

/** A query that measures vectors themselves, in float32: what CodeQuery is to rows of codes. A view of both. */
class FloatQuery {
 public:
  FloatQuery() = default;
  FloatQuery(const float* query, const float* vectors, size_t dimension)
      : query_(query), vectors_(vectors), dimension_(dimension) {}
  /** Of one of the vectors, whose squared lengths are `lengths`. For Form::sphere: none is longer than the radius. */
  FloatQuery(int32_t row, const float* vectors, const float* lengths, size_t dimension, float squaredRadius)
      : vectors_(vectors), lengths_(lengths), dimension_(dimension), squaredRadius_(squaredRadius) {
    query_ = at(row);
    missing_ = missing(row);
  }

  float distance(const Kernels& kernels, Form form, const CodeRows&, int32_t row) const {
    const float* const vector = at(row);
    if (form == Form::squaredL2) return kernels.squaredL2(query_, vector, dimension_);
    const float product = kernels.dot(query_, vector, dimension_);
    return form == Form::sphere ? -(product + missing_ * missing(row)) : -product;
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
  float missing(int32_t row) const { return std::sqrt(std::max(0.0f, squaredRadius_ - lengths_[row])); }
  void fetch(int32_t row) const {
    fetchRow(reinterpret_cast<const uint8_t*>(at(row)), dimension_ * sizeof(float));
  }

  const float* query_ = nullptr;
  const float* vectors_ = nullptr;
  const float* lengths_ = nullptr;
  size_t dimension_ = 0;
  float squaredRadius_ = 0;
  /** The component that the sphere adds. */
  float missing_ = 0;
};

}  // namespace vectron
