#include "builders.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <thread>

#include "failure.h"
#include "priority.h"

namespace vectron {
namespace {

constexpr uint64_t sliceMicros = 10000;

/** VECTRON_BUILDERS for a measurement; otherwise as many as there are processors. */
unsigned threadsWanted() {
  const char* const given = std::getenv("VECTRON_BUILDERS");
  const int wanted = given == nullptr ? 0 : std::atoi(given);
  return wanted > 0 ? static_cast<unsigned>(std::min(wanted, 256)) : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

/** Never destroyed: its threads run while the process exits. */
Builders& Builders::instance() {
  static Builders* const builders = new Builders;
  return *builders;
}

Builders::Builders() : threads_(threadsWanted()) {}

void Builders::build(std::shared_ptr<ShardIndex> index) {
  if (!index->inLine.exchange(true)) line(std::move(index), false);
}

void Builders::line(std::shared_ptr<ShardIndex> index, bool helps) {
  {
    const std::lock_guard<std::mutex> lock(lock_);
    line_.push_back({std::move(index), helps});
    if (!started_) start();
  }
  waiting_.notify_one();
}

void Builders::start() {
  for (unsigned i = 0; i < threads_; i++) std::thread([this] { work(); }).detach();
  started_ = true;
}

void Builders::work() {
  lowerPriority();
  for (;;) {
    Task task = next();
    if (task.helps) help(std::move(task.index));
    else own(std::move(task.index));
  }
}

void Builders::own(std::shared_ptr<ShardIndex> index) {
  invite(index);
  const Left left = slice(*index);
  index->inLine = false;
  // What was put between the slice's end and here found the index in line and did not ask again.
  if (left == Left::work || (left == Left::nothing && index->unlinkedCount() > 0)) build(std::move(index));
}

void Builders::help(std::shared_ptr<ShardIndex> index) {
  if (index->sharesLinking() && slice(*index) == Left::work) return line(std::move(index), true);
  index->helpers--;
}

/** Only the owner of the turn invites, so that there are never more helpers than other threads. */
void Builders::invite(const std::shared_ptr<ShardIndex>& index) {
  while (index->helpers + 1 < threads_ && index->sharesLinking()) {
    index->helpers++;
    line(index, true);
  }
}

Builders::Task Builders::next() {
  std::unique_lock<std::mutex> lock(lock_);
  waiting_.wait(lock, [this] { return !line_.empty(); });
  Task task = std::move(line_.front());
  line_.pop_front();
  return task;
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
