#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "shard_index.h"

namespace vectron {

/**
 * The thread that writes graph files, at a low priority and one at a time: replicas fall quiet together, and a disk has
 * better things to do than several files at once. It starts with the first file and lives as long as the process.
 */
class Savers {
 public:
  static Savers& instance();

  /** Returns at once; the index is told how it went. Nothing is done if its file is being written already. */
  void save(std::shared_ptr<ShardIndex> index, const std::string& path);

 private:
  struct Task {
    std::shared_ptr<ShardIndex> index;
    std::string path;
  };

  Savers() = default;
  void work();
  Task next();

  std::mutex lock_;
  std::condition_variable waiting_;
  std::deque<Task> line_;
  bool started_ = false;
};

}  // namespace vectron
