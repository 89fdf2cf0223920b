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
 * the codes and zeros, a multiple of 64 bytes. Its sums are in its last 16 bytes if the zeros leave room for them, and in
 * an array of their own otherwise: a row of 128 components is two cache lines, not three. Distances are those between
 * the rounded vectors, with the means taken out, so that neither a common offset nor length costs precision near a query.
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
        stride((dimension + 63) / 64 * 64),
        sumsInRow(stride - dimension >= sizeof(RowSums)) {}
  size_t dimension;
  /** Bytes of a row. The kernels read all of it: what may follow the codes is cancelled by zeros behind a query's. */
  size_t stride;
  bool sumsInRow;
};

/** Rows one after the other, and where their sums are. */
struct CodeRows {
  CodeRows(const CodeShape& shape, uint8_t* codes, RowSums* beside)
      : codes(codes), sums(beside), stride(shape.stride), sumsStride(sizeof(RowSums)) {
    if (!shape.sumsInRow) return;
    sums = reinterpret_cast<RowSums*>(codes + stride - sizeof(RowSums));
    sumsStride = stride;
  }
  uint8_t* row(int32_t i) const { return codes + static_cast<size_t>(i) * stride; }
  RowSums& sumsOf(int32_t i) const {
    return *reinterpret_cast<RowSums*>(reinterpret_cast<uint8_t*>(sums) + static_cast<size_t>(i) * sumsStride);
  }

  uint8_t* codes;
  RowSums* sums;
  size_t stride, sumsStride;
};

/** Squared, with the mean. */
inline float lengthOf(const CodeShape& shape, const RowSums& sums) {
  return static_cast<float>(shape.dimension) * sums.mean * sums.mean + sums.norm;
}

/** Writes the `shape.stride` bytes of one row, then its sums, which may be among them. */
void encodeRow(const CodeShape& shape, const float* vector, uint8_t* row, RowSums& sums);

/** A row as the other side of a distance: its codes less 128, zeros behind them. */
class CodeQuery {
 public:
  void reserve(const CodeShape& shape) { codes_.reserve(shape.stride); }
  void fromRow(const CodeShape& shape, const uint8_t* row, const RowSums& sums);
  /** For Form::sphere: the squared radius, at least the squared length of all vectors there are. */
  void onSphere(float squaredRadius);
  void fromVector(const CodeShape& shape, const float* vector);
  /**
   * After those: from now on it measures vectors instead of codes, in float32. `vector` is what it was made from, `vectors`
   * are those of all rows; both stay where they are.
   */
  void onVectors(const Kernels& kernels, const float* vector, const float* vectors);

  /** Smaller is nearer: squared distance, or the negated inner product. */
  float distance(const Kernels& kernels, Form form, const CodeRows& rows, int32_t row) const {
    if (vector_ != nullptr) return exactDistance(kernels, form, row);
    return distanceOf(form, rows.sumsOf(row), kernels.dotCodes(rows.row(row), codes_.data(), shape_.stride));
  }
  /** To `count` of the rows. `dots` is scratch. Calls met(distance, row) for each, in their order. */
  template <typename Met>
  void distances(const Kernels& kernels, Form form, const CodeRows& all, const int32_t* rows, size_t count,
                 int32_t* dots, Met met) const {
    if (vector_ != nullptr) {
      for (size_t i = 0; i < count; i++) met(exactDistance(kernels, form, rows[i]), rows[i]);
      return;
    }
    for (size_t i = 0; i < std::min(count, rowsAhead); i++) fetchRow(all.row(rows[i]), all.stride);
    for (size_t i = 0; i < count; i++) __builtin_prefetch(&all.sumsOf(rows[i]));
    kernels.dotRows(all.codes, rows, count, codes_.data(), shape_.stride, dots);
    for (size_t i = 0; i < count; i++) met(distanceOf(form, all.sumsOf(rows[i]), dots[i]), rows[i]);
  }
  /**
   * By how much distance() may exceed the true one: three times the deviation that rounding each component by up to half
   * a step makes, and the squares of those errors. Not a bound, but rarely wrong.
   */
  float slack(Form form, const RowSums& x, float distance) const {
    if (vector_ != nullptr) return 0;
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
  float missing(const Kernels& kernels, const float* x) const {
    return std::sqrt(std::max(0.0f, squaredRadius_ - kernels.dot(x, x, shape_.dimension)));
  }
  float exactDistance(const Kernels& kernels, Form form, int32_t row) const {
    const float* const x = vectors_ + static_cast<size_t>(row) * shape_.dimension;
    if (form == Form::squaredL2) return kernels.squaredL2(vector_, x, shape_.dimension);
    const float product = kernels.dot(vector_, x, shape_.dimension);
    return form == Form::sphere ? -(product + missing_ * missing(kernels, x)) : -product;
  }

  CodeShape shape_{1};
  std::vector<int8_t> codes_;
  std::vector<uint8_t> row_;
  float mean_ = 0, scale_ = 0, norm_ = 0;
  /** The sum of the codes divided by the dimension. */
  float sumShare_ = 0;
  float squaredRadius_ = 0;
  /** The component that the sphere adds. */
  float missing_ = 0;
  /** Null: codes are measured. */
  const float* vector_ = nullptr;
  const float* vectors_ = nullptr;
};

}  // namespace vectron
