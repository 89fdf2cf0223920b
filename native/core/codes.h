#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels.h"
#include "options.h"

namespace vectron {

/**
 * A vector in 8 bits a component with a scale of its own: x[i] is about low + scale * u[i], u in [0, 255]. The row holds
 * the codes, zeros, and these sums in its last 16 bytes; rows are a multiple of 64 bytes. Distances are those between the
 * rounded vectors, with the means taken out, so that neither a common offset nor length costs precision near a query.
 */
struct RowSums {
  float mean;
  float scale;
  /** Of the codes. */
  float sum;
  /** Squared length once the mean is taken out. */
  float norm;
};

struct CodeShape {
  explicit CodeShape(size_t dimension)
      : dimension(dimension),
        padded((dimension + 63) / 64 * 64),
        stride((dimension + sizeof(RowSums) + 63) / 64 * 64) {}
  size_t dimension;
  /** What the kernel reads: may reach into the sums, which the zeros behind a query's components cancel. */
  size_t padded;
  size_t stride;
};

inline const RowSums& sumsOf(const CodeShape& shape, const uint8_t* row) {
  return *reinterpret_cast<const RowSums*>(row + shape.stride - sizeof(RowSums));
}

/** Squared, with the mean. */
inline float lengthOf(const CodeShape& shape, const RowSums& sums) {
  return static_cast<float>(shape.dimension) * sums.mean * sums.mean + sums.norm;
}

/** Writes one row of `shape.stride` bytes. */
void encodeRow(const CodeShape& shape, const float* vector, uint8_t* row);

/** A row as the other side of a distance: its codes less 128, zeros behind them. */
class CodeQuery {
 public:
  void fromRow(const CodeShape& shape, const uint8_t* row);
  /** For Form::sphere: the squared radius, at least the squared length of all vectors there are. */
  void onSphere(float squaredRadius);
  void fromVector(const CodeShape& shape, const float* vector);

  /** Smaller is nearer: squared distance, or the negated inner product. */
  float distance(const Kernels& kernels, Form form, const uint8_t* row) const {
    return distanceOf(form, sumsOf(shape_, row), kernels.dotCodes(row, codes_.data(), shape_.padded));
  }
  /** To `count` rows of `base`. `dots` is scratch. Calls met(distance, row) for each, in their order. */
  template <typename Met>
  void distances(const Kernels& kernels, Form form, const uint8_t* base, const int32_t* rows, size_t count,
                 int32_t* dots, Met met) const {
    kernels.dotRows(base, shape_.stride, rows, count, codes_.data(), shape_.padded, dots);
    for (size_t i = 0; i < count; i++) {
      const uint8_t* const row = base + static_cast<size_t>(rows[i]) * shape_.stride;
      met(distanceOf(form, sumsOf(shape_, row), dots[i]), rows[i]);
    }
  }
  /**
   * By how much distance() may exceed the true one: three times the deviation that rounding each component by up to half
   * a step makes, and the squares of those errors. Not a bound, but rarely wrong.
   */
  float slack(Form form, const uint8_t* row, float distance) const {
    const RowSums& x = sumsOf(shape_, row);
    const float steps = (x.scale * x.scale + scale_ * scale_) / 12;
    if (form == Form::squaredL2)
      return 6 * std::sqrt(std::max(0.0f, distance) * steps) + static_cast<float>(shape_.dimension) * steps;
    return 3 * std::sqrt((x.norm * scale_ * scale_ + norm_ * x.scale * x.scale) / 12);
  }

 private:
  float distanceOf(Form form, const RowSums& x, int32_t dot) const {
    const float cross = static_cast<float>(dot) - x.sum * sumShare_;
    const float product = x.scale * scale_ * cross;
    const float n = static_cast<float>(shape_.dimension);
    if (form == Form::innerProduct) return -(n * x.mean * mean_ + product);
    if (form == Form::sphere) return -(n * x.mean * mean_ + product + missing_ * missing(x));
    const float apart = x.mean - mean_;
    return n * apart * apart + (x.norm + norm_ - 2 * product);
  }
  float missing(const RowSums& x) const { return std::sqrt(std::max(0.0f, squaredRadius_ - lengthOf(shape_, x))); }

  CodeShape shape_{1};
  std::vector<int8_t> codes_;
  std::vector<uint8_t> row_;
  float mean_ = 0, scale_ = 0, norm_ = 0;
  /** The sum of the codes divided by the dimension. */
  float sumShare_ = 0;
  float squaredRadius_ = 0;
  /** The component that the sphere adds. */
  float missing_ = 0;
};

}  // namespace vectron
