#include "checksum.h"

#include <algorithm>
#include <cstring>

namespace vectron {
namespace {

constexpr uint64_t p1 = 0x9e3779b185ebca87ull;
constexpr uint64_t p2 = 0xc2b2ae3d27d4eb4full;
constexpr uint64_t p3 = 0x165667b19e3779f9ull;
constexpr uint64_t p4 = 0x85ebca77c2b2ae63ull;
constexpr uint64_t p5 = 0x27d4eb2f165667c5ull;

uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }
uint64_t round(uint64_t lane, uint64_t input) { return rotate(lane + input * p2, 31) * p1; }

template <typename T>
uint64_t read(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

void Checksum::block(const uint8_t* p) {
  for (int i = 0; i < 4; i++) lanes_[i] = round(lanes_[i], read<uint64_t>(p + 8 * i));
}

void Checksum::feed(const void* data, size_t length) {
  const auto* p = static_cast<const uint8_t*>(data);
  total_ += length;
  if (restLength_ > 0) {
    const size_t take = std::min(length, sizeof rest_ - restLength_);
    std::memcpy(rest_ + restLength_, p, take);
    restLength_ += take;
    p += take;
    length -= take;
    if (restLength_ < sizeof rest_) return;
    block(rest_);
    restLength_ = 0;
  }
  for (; length >= sizeof rest_; p += sizeof rest_, length -= sizeof rest_) block(p);
  std::memcpy(rest_, p, length);
  restLength_ = length;
}

uint64_t Checksum::value() const {
  uint64_t h = p5;
  if (total_ >= sizeof rest_) {
    h = rotate(lanes_[0], 1) + rotate(lanes_[1], 7) + rotate(lanes_[2], 12) + rotate(lanes_[3], 18);
    for (const uint64_t lane : lanes_) h = (h ^ round(0, lane)) * p1 + p4;
  }
  h += total_;
  size_t at = 0;
  for (; at + 8 <= restLength_; at += 8) h = rotate(h ^ round(0, read<uint64_t>(rest_ + at)), 27) * p1 + p4;
  for (; at + 4 <= restLength_; at += 4) h = rotate(h ^ (read<uint32_t>(rest_ + at) * p1), 23) * p2 + p3;
  for (; at < restLength_; at++) h = rotate(h ^ (rest_[at] * p5), 11) * p1;
  h = (h ^ (h >> 33)) * p2;
  h = (h ^ (h >> 29)) * p3;
  return h ^ (h >> 32);
}

}  // namespace vectron
