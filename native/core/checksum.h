#pragma once
#include <cstddef>
#include <cstdint>

namespace vectron {

/** XXH64 with seed 0, fed in pieces (the xxHash specification, version 0.1.1, section 3). */
class Checksum {
 public:
  void feed(const void* data, size_t length);
  uint64_t value() const;

 private:
  void block(const uint8_t* p);

  uint64_t lanes_[4] = {0x60ea27eeadc0b5d6ull, 0xc2b2ae3d27d4eb4full, 0, 0x61c8864e7a143579ull};
  uint8_t rest_[32] = {};
  size_t restLength_ = 0;
  uint64_t total_ = 0;
};

}  // namespace vectron
