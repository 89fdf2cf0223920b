#include "builders.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <system_error>
#include <thread>

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
  if (index->inLine.exchange(true)) return;
  if (!line(index, Task::own)) index->inLine = false;
}

void Builders::grow(std::shared_ptr<ShardIndex> index) {
  if (index->growsInLine.exchange(true)) return;
  if (!line(index, Task::grow)) index->growsInLine = false;
}

bool Builders::line(std::shared_ptr<ShardIndex> index, Task::Kind kind) {
  {
    const std::lock_guard<std::mutex> lock(lock_);
    if (!started_ && !start()) {
      index->noteBuildFailure("no thread is to be had");
      return false;
    }
    line_.push_back({std::move(index), kind});
  }
  waiting_.notify_one();
  return true;
}

/** As many as are to be had; one will do. */
bool Builders::start() {
  try {
    for (unsigned i = 0; i < threads_; i++) {
      std::thread([this] { work(); }).detach();
      started_ = true;
    }
  } catch (const std::system_error&) {
    return started_;
  }
  return true;
}

void Builders::work() {
  lowerPriority();
  for (;;) {
    Task task = next();
    if (task.kind == Task::grow) grown(*task.index);
    else if (task.kind == Task::help) help(std::move(task.index));
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
  if (index->sharesLinking() && slice(*index) == Left::work) {
    (void)line(std::move(index), Task::help);
    return;
  }
  index->helpers--;
}

/** What is put from here on asks again. */
void Builders::grown(ShardIndex& index) {
  index.growsInLine = false;
  (void)attempt(index, [&] {
    index.growAhead();
    return Left::nothing;
  });
}

/** Only the owner of the turn invites, so that there are never more helpers than other threads. */
void Builders::invite(const std::shared_ptr<ShardIndex>& index) {
  while (index->helpers + 1 < threads_ && index->sharesLinking()) {
    index->helpers++;
    (void)line(index, Task::help);
  }
}

Builders::Task Builders::next() {
  std::unique_lock<std::mutex> lock(lock_);
  waiting_.wait(lock, [this] { return !line_.empty(); });
  Task task = std::move(line_.front());
  line_.pop_front();
  return task;
}

template <typename Work>
Builders::Left Builders::attempt(ShardIndex& index, Work work) {
  try {
    return work();
  } catch (const std::exception& error) {
    index.noteBuildFailure(error.what());
    return Left::failure;
  }
}

Builders::Left Builders::slice(ShardIndex& index) {
  return attempt(index, [&] {
    index.auditRecall();
    index.forgetAsAsked();
    return index.link(sliceMicros) > 0 ? Left::work : Left::nothing;
  });
}

}  // namespace vectron
