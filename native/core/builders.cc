#include "builders.h"

#include <algorithm>
#include <new>
#include <thread>

#include "failure.h"
#include "priority.h"

namespace vectron {
namespace {

constexpr uint64_t sliceMicros = 10000;

}  // namespace

/** Never destroyed: its threads run while the process exits. */
Builders& Builders::instance() {
  static Builders* const builders = new Builders;
  return *builders;
}

void Builders::build(std::shared_ptr<ShardIndex> index) {
  if (index->inLine.exchange(true)) return;
  {
    const std::lock_guard<std::mutex> lock(lock_);
    line_.push_back(std::move(index));
    if (!started_) start();
  }
  waiting_.notify_one();
}

void Builders::start() {
  const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < count; i++) std::thread([this] { work(); }).detach();
  started_ = true;
}

void Builders::work() {
  lowerPriority();
  for (;;) {
    std::shared_ptr<ShardIndex> index = next();
    const Left left = slice(*index);
    index->inLine = false;
    // What was put between the slice's end and here found the index in line and did not ask again.
    if (left == Left::work || (left == Left::nothing && index->unlinkedCount() > 0)) build(std::move(index));
  }
}

std::shared_ptr<ShardIndex> Builders::next() {
  std::unique_lock<std::mutex> lock(lock_);
  waiting_.wait(lock, [this] { return !line_.empty(); });
  std::shared_ptr<ShardIndex> index = std::move(line_.front());
  line_.pop_front();
  return index;
}

Builders::Left Builders::slice(ShardIndex& index) {
  try {
    index.auditRecall();
    return index.link(sliceMicros) > 0 ? Left::work : Left::nothing;
  } catch (const Failure&) {
    return Left::failure;
  } catch (const std::bad_alloc&) {
    return Left::failure;
  }
}

}  // namespace vectron
