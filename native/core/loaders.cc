#include "loaders.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <thread>

#include "failure.h"

namespace vectron {
namespace {

/** Why the file was not used. */
std::string loadNow(ShardIndex& index, const std::string& path) {
  try {
    index.load(path);
    return "";
  } catch (const Failure& failure) {
    return std::strcmp(failure.code, "NOT_FOUND") == 0 ? "" : failure.what();
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

/** Never destroyed: its threads run while the process exits. */
Loaders& Loaders::instance() {
  static Loaders* const loaders = new Loaders;
  return *loaders;
}

void Loaders::load(std::shared_ptr<ShardIndex> index, const std::string& path) {
  {
    const std::lock_guard<std::mutex> lock(lock_);
    if (!started_) start();
    line_.push_back({std::move(index), path});
  }
  waiting_.notify_one();
}

void Loaders::start() {
  const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < count; i++) std::thread([this] { work(); }).detach();
  started_ = true;
}

void Loaders::work() {
  for (;;) {
    const Task task = next();
    task.index->endLoad(loadNow(*task.index, task.path));
  }
}

Loaders::Task Loaders::next() {
  std::unique_lock<std::mutex> lock(lock_);
  waiting_.wait(lock, [this] { return !line_.empty(); });
  Task task = std::move(line_.front());
  line_.pop_front();
  return task;
}

}  // namespace vectron
