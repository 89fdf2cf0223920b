#include "codes.h"

#include <algorithm>
#include <cmath>

namespace vectron {

void encodeRow(const CodeShape& shape, const float* vector, uint8_t* row, RowSums& sums) {
  const size_t n = shape.dimension;
  float low = vector[0], high = vector[0];
  for (size_t i = 1; i < n; i++) {
    low = std::min(low, vector[i]);
    high = std::max(high, vector[i]);
  }
  // In double: high - low of finite floats may overflow a float, though the length check keeps it from happening here.
  const double scale = (static_cast<double>(high) - low) / 255;
  const float inverse = scale > 1e-30 ? static_cast<float>(1 / scale) : 0;
  uint32_t total = 0;
  uint64_t squares = 0;
  for (size_t i = 0; i < n; i++) {
    const uint32_t code = std::min(255u, static_cast<uint32_t>((vector[i] - low) * inverse + 0.5f));
    row[i] = static_cast<uint8_t>(code);
    total += code;
    squares += code * code;
  }
  std::memset(row + n, 0, shape.stride - n);
  const double share = static_cast<double>(total) / static_cast<double>(n);
  const double spread = std::max(0.0, static_cast<double>(squares) - share * total);
  const double step = inverse == 0 ? 0 : scale;
  sums = {static_cast<float>(low + step * share), static_cast<float>(step), static_cast<float>(total),
          static_cast<float>(step * step * spread)};
}

void CodeQuery::fromRow(const CodeShape& shape, const uint8_t* row, const RowSums& sums) {
  const size_t n = shape.dimension;
  shape_ = shape;
  vector_ = nullptr;
  codes_.resize(shape.stride);
  // Bytes may alias anything: only where it is said that these do not, the compiler makes vectors of them.
  int8_t* __restrict const codes = codes_.data();
  const uint8_t* __restrict const from = row;
  for (size_t i = 0; i < n; i++) codes[i] = static_cast<int8_t>(from[i] ^ 0x80);
  std::fill(codes_.begin() + static_cast<ptrdiff_t>(n), codes_.end(), int8_t{0});
  mean_ = sums.mean;
  scale_ = sums.scale;
  norm_ = sums.norm;
  sumShare_ = sums.sum / static_cast<float>(n) - 128;
}

void CodeQuery::onSphere(float squaredRadius) {
  const float n = static_cast<float>(shape_.dimension);
  squaredRadius_ = squaredRadius;
  missing_ = std::sqrt(std::max(0.0f, squaredRadius - (n * mean_ * mean_ + norm_)));
}

void CodeQuery::onVectors(const Kernels& kernels, const float* vector, const float* vectors) {
  vector_ = vector;
  vectors_ = vectors;
  missing_ = missing(kernels, vector);
}

void CodeQuery::fromVector(const CodeShape& shape, const float* vector) {
  row_.resize(shape.stride);
  RowSums sums;
  encodeRow(shape, vector, row_.data(), sums);
  fromRow(shape, row_.data(), sums);
}

}  // namespace vectron
