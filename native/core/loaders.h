#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "shard_index.h"

namespace vectron {

/**
 * Threads that read graph files: a gigabyte takes seconds, and whoever opens a shard has a group to keep alive meanwhile.
 * As many as there are processors; they start with the first file and live as long as the process.
 */
class Loaders {
 public:
  static Loaders& instance();

  /** Loads it and ends its loading, whatever comes of it. */
  void load(std::shared_ptr<ShardIndex> index, const std::string& path);

 private:
  struct Task {
    std::shared_ptr<ShardIndex> index;
    std::string path;
  };

  Loaders() = default;
  void start();
  void work();
  Task next();

  std::mutex lock_;
  std::condition_variable waiting_;
  std::deque<Task> line_;
  bool started_ = false;
};

}  // namespace vectron
