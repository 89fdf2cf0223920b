#include "vector_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "failure.h"

namespace vectron {
namespace {

/** So much is taken from the disk at once. */
constexpr size_t stepBytes = 16 * 1024 * 1024;

size_t wholePages(size_t length) { return length / VectorMemory::pageBytes * VectorMemory::pageBytes; }

Failure failed(const std::string& what) { return Failure("INTERNAL", what + ": " + std::strerror(errno)); }

/** A file that goes with its last descriptor. */
int namelessFile(const std::string& folder) {
  const int file = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0 || errno != EOPNOTSUPP) return file;
  std::string name = folder + "/vectors-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) unlink(name.c_str());
  return named;
}

}  // namespace

void adviseHugePages(const void* start, size_t length) {
  constexpr uintptr_t huge = 2 * 1024 * 1024;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(start) + huge - 1) / huge * huge;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(start) + length) / huge * huge;
  if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
}

void readAt(int file, uint64_t offset, void* out, size_t length) {
  auto* at = static_cast<uint8_t*>(out);
  while (length > 0) {
    const ssize_t got = pread(file, at, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw failed("read");
    if (got == 0) throw Failure("CORRUPT", "graph file: shorter than its content");
    at += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<size_t>(got);
  }
}

std::atomic<size_t> VectorMemory::roomMax{SIZE_MAX};

VectorMemory::VectorMemory(size_t bytes, const std::string& folder)
    : bytes_(wholePages(bytes + pageBytes)) {
  if (!folder.empty()) {
    file_ = namelessFile(folder);
    if (file_ < 0 || ftruncate(file_, static_cast<off_t>(bytes_)) != 0) {
      const Failure failure = failed("a file of vectors in " + folder);
      if (file_ >= 0) close(file_);
      throw failure;
    }
  }
  const int flags = file_ >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, flags, file_, 0);
  if (p == MAP_FAILED) {
    if (file_ >= 0) close(file_);
    throw std::bad_alloc();
  }
  data_ = static_cast<uint8_t*>(p);
  // Only a few rows of a search are read: what lies around them would displace others.
  if (file_ >= 0) madvise(data_, bytes_, MADV_RANDOM);
}

VectorMemory::~VectorMemory() {
  munmap(data_, bytes_);
  if (file_ >= 0) close(file_);
}

void VectorMemory::makeRoom(size_t bytes) {
  if (file_ < 0 || bytes <= taken_) return;
  const size_t from = std::max(taken_, adopted_);
  const size_t to = std::min(bytes_, wholePages(std::max(bytes, from + stepBytes) + pageBytes - 1));
  if (to > roomMax || posix_fallocate(file_, static_cast<off_t>(from), static_cast<off_t>(to - from)) != 0) return spill(from);
  taken_ = to;
}

/** No row from here on was written yet. */
void VectorMemory::spill(size_t from) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(data_ + from, bytes_ - from, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
    throw Failure("RESOURCE_EXHAUSTED", std::string("no room for vectors: ") + std::strerror(errno));
  spilledFrom_ = from;
  taken_ = bytes_;
}

size_t VectorMemory::inMemory(size_t bytes) const {
  if (file_ < 0) return bytes;
  return bytes - std::min<size_t>(bytes, spilledFrom_);
}

void VectorMemory::adopt(int file, uint64_t offset, size_t length, bool there) {
  const size_t whole = wholePages(length);
  if (!there) {
    adopted_ = whole;
    makeRoom(length);
    readAt(file, offset + whole, data_ + whole, length - whole);
  }
  if (whole == 0) return;
  // Not through the library's mmap: the thread sanitizer would take that for a write to what others read.
  const auto mapped = syscall(SYS_mmap, data_, whole, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, static_cast<off_t>(offset));
  if (mapped == -1) throw failed("map of vectors");
  if (file_ >= 0) {
    madvise(data_, whole, MADV_RANDOM);
    // What it is no longer needed for goes back to the disk, where that can be done.
    (void)fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(whole));
  }
}

void VectorMemory::adviseHuge() {
  if (file_ < 0) adviseHugePages(data_ + adopted_, bytes_ - adopted_);
}

}  // namespace vectron
