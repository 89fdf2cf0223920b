#include "savers.h"

#include <exception>
#include <thread>

#include "priority.h"

namespace vectron {
namespace {

Saved saveNow(ShardIndex& index, const std::string& path) {
  Saved saved;
  saved.done = true;
  try {
    saved.appliedIndex = index.save(path);
  } catch (const std::exception& error) {
    saved.failure = error.what();
  }
  return saved;
}

}  // namespace

/** Never destroyed: its thread runs while the process exits. */
Savers& Savers::instance() {
  static Savers* const savers = new Savers;
  return *savers;
}

void Savers::save(std::shared_ptr<ShardIndex> index, const std::string& path) {
  if (!index->beginSave()) return;
  {
    const std::lock_guard<std::mutex> lock(lock_);
    if (!started_) std::thread([this] { work(); }).detach();
    started_ = true;
    line_.push_back({std::move(index), path});
  }
  waiting_.notify_one();
}

void Savers::work() {
  lowerPriority();
  for (;;) {
    const Task task = next();
    task.index->endSave(saveNow(*task.index, task.path));
  }
}

Savers::Task Savers::next() {
  std::unique_lock<std::mutex> lock(lock_);
  waiting_.wait(lock, [this] { return !line_.empty(); });
  Task task = std::move(line_.front());
  line_.pop_front();
  return task;
}

}  // namespace vectron
