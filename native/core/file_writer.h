#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checksum.h"

namespace vectron {

/** A descriptor that closes itself. */
class OpenFile {
 public:
  /** Throws NOT_FOUND or INTERNAL. */
  OpenFile(const std::string& path, int flags);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int get() const { return file_; }
  uint64_t length() const;

 private:
  int file_;
};

void writeAt(int file, uint64_t offset, const void* data, size_t length);
/** Makes what was renamed in the path's folder durable. */
void syncFolderOf(const std::string& path);

/**
 * Writes a body from an offset on, in the order of the file, and computes the checksums of its chunks. What is written
 * goes to the disk a chunk at a time: a gigabyte at once would keep the log's syncs waiting.
 */
class BodyWriter {
 public:
  BodyWriter(int file, uint64_t from) : file_(file), at_(from), chunkFrom_(from) {}
  void write(const void* data, size_t length);
  void zeros(size_t length);
  template <typename T>
  void value(T v) {
    small(&v, sizeof v);
  }
  void text(std::string_view v) {
    value(static_cast<uint16_t>(v.size()));
    small(v.data(), v.size());
  }
  uint64_t at() const { return at_ + buffer_.size(); }
  /** Of all. Ends the use of this object. */
  uint64_t finish();

 private:
  void small(const void* data, size_t length);
  void flush();
  void put(const uint8_t* data, size_t length);
  void endChunk();

  const int file_;
  uint64_t at_;
  uint64_t chunkFrom_;
  Checksum chunk_;
  Checksum chunks_;
  std::vector<uint8_t> buffer_;
};

}  // namespace vectron
