#include "file_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "failure.h"
#include "graph_format.h"

namespace vectron {
namespace {

constexpr size_t bufferBytes = 256 * 1024;

}  // namespace

using graph_format::chunkBytes;
using graph_format::ioFailure;

OpenFile::OpenFile(const std::string& path, int flags) : file_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {
  if (file_ < 0 && errno == ENOENT && (flags & O_CREAT) == 0) throw Failure("NOT_FOUND", path);
  if (file_ < 0) throw ioFailure("open " + path);
}

OpenFile::~OpenFile() { close(file_); }

uint64_t OpenFile::length() const {
  struct stat status;
  if (fstat(file_, &status) != 0) throw ioFailure("stat");
  return static_cast<uint64_t>(status.st_size);
}

void writeAt(int file, uint64_t offset, const void* data, size_t length) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (length > 0) {
    const ssize_t done = pwrite(file, at, length, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw ioFailure("write");
    at += done;
    offset += static_cast<uint64_t>(done);
    length -= static_cast<size_t>(done);
  }
}

void syncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const OpenFile opened(folder, O_RDONLY | O_DIRECTORY);
  if (fsync(opened.get()) != 0) throw ioFailure("sync " + folder);
}

void BodyWriter::small(const void* data, size_t length) {
  const auto* const bytes = static_cast<const uint8_t*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + length);
  if (buffer_.size() >= bufferBytes) flush();
}

void BodyWriter::write(const void* data, size_t length) {
  if (length < bufferBytes) return small(data, length);
  flush();
  put(static_cast<const uint8_t*>(data), length);
}

void BodyWriter::zeros(size_t length) {
  buffer_.resize(buffer_.size() + length, 0);
  if (buffer_.size() >= bufferBytes) flush();
}

void BodyWriter::flush() {
  put(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void BodyWriter::put(const uint8_t* data, size_t length) {
  while (length > 0) {
    const size_t piece = std::min<uint64_t>(length, chunkFrom_ + chunkBytes - at_);
    writeAt(file_, at_, data, piece);
    chunk_.feed(data, piece);
    data += piece;
    length -= piece;
    at_ += piece;
    if (at_ == chunkFrom_ + chunkBytes) endChunk();
  }
}

void BodyWriter::endChunk() {
  const uint64_t checksum = chunk_.value();
  chunks_.feed(&checksum, sizeof checksum);
  constexpr unsigned waits = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  const auto length = static_cast<off_t>(chunkBytes);
  // Of no consequence but for others' waits: what is on the disk is decided by the sync at the end.
  (void)sync_file_range(file_, static_cast<off_t>(chunkFrom_), length, SYNC_FILE_RANGE_WRITE);
  if (chunkFrom_ >= chunkBytes) (void)sync_file_range(file_, static_cast<off_t>(chunkFrom_ - chunkBytes), length, waits);
  chunkFrom_ = at_;
  chunk_ = Checksum();
}

uint64_t BodyWriter::finish() {
  flush();
  if (at_ > chunkFrom_) endChunk();
  return chunks_.value();
}

}  // namespace vectron
