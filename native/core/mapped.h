#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace vectron {

/**
 * An array of zeros that takes its memory from the system page by page, as it is written: to reserve much costs addresses
 * and nothing else. T must be a type for which zero bytes are a value, and which needs no destructor.
 */
template <typename T>
class Mapped {
 public:
  explicit Mapped(size_t size) : size_(size) {
    void* const p =
        mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<T*>(p);
  }
  ~Mapped() { munmap(data_, bytes()); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return (size_ + 1) * sizeof(T); }

 private:
  const size_t size_;
  T* data_;
};

}  // namespace vectron
