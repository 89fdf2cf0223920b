#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vectron {

/**
 * The rows of vectors, in one range of addresses that never moves. What backs it may change under readers, as long as
 * the bytes do not: memory, a file without a name, or the part of a graph file that holds the same rows.
 *
 *  1. One writer, who asks for room before it writes. Rows that were written never change.
 *  2. In a file (`folder` is not empty) it takes no memory of the process but what the system keeps as a cache.
 *  3. Room in a file is taken from the disk before it is written: a full disk is no signal, and no failure either, as what is
 *     put was promised before. Rows for which there is no room on disk are in memory, and counted there.
 *  4. Pages of a graph file are only read. Whoever hands one over has compared its checksum.
 */
class VectorMemory {
 public:
  /** Throws std::bad_alloc, or INTERNAL where there can be no file in `folder`. */
  VectorMemory(size_t bytes, const std::string& folder);
  ~VectorMemory();
  VectorMemory(const VectorMemory&) = delete;
  VectorMemory& operator=(const VectorMemory&) = delete;

  float* data() const { return reinterpret_cast<float*>(data_); }
  bool isFile() const { return file_ >= 0; }
  /** Writer. The first `bytes` can be written. Throws RESOURCE_EXHAUSTED where there is neither disk nor address space. */
  void makeRoom(size_t bytes);
  /**
   * The first `length` bytes are from now on those of a file from `offset`, a multiple of pageBytes: whole pages are
   * mapped. The rest is read, unless they are all `there` already: then it may be done beside a writer.
   */
  void adopt(int file, uint64_t offset, size_t length, bool there);
  /** Of the first `bytes`, those that take memory. */
  size_t inMemory(size_t bytes) const;
  /** What all files together may take; tests lower it, as if disks were full. */
  static std::atomic<size_t> roomMax;
  /** Advice to use large pages, for what is not in a file. */
  void adviseHuge();

  static constexpr uint64_t pageBytes = 4096;

 private:
  const size_t bytes_;
  uint8_t* data_;
  int file_ = -1;
  /** Of the file: taken from the disk. */
  size_t taken_ = 0;
  /** Backed by the graph file it was loaded from. */
  size_t adopted_ = 0;
  /** From here on there was no room on disk. */
  std::atomic<size_t> spilledFrom_{SIZE_MAX};

  void spill(size_t from);
};

/** Random access over tens of megabytes lives off the TLB. Only advice: whether it is taken changes nothing else. */
void adviseHugePages(const void* start, size_t length);

/** Reads exactly so much from a file. Throws CORRUPT at its end, INTERNAL when the system cannot. */
void readAt(int file, uint64_t offset, void* out, size_t length);

}  // namespace vectron
