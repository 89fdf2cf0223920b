#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "shard_index.h"

namespace vectron {

/**
 * The process's threads that link points into graphs, one a processor, at a low priority: whoever answers a search or
 * takes a write goes before them, so that a bulk load is felt in its own speed and not in that of searches.
 *
 *  1. An index stands in line once as its own, a slice a turn, as long as it has work. While that is much, it also stands
 *     there for others to help, behind all that waited before, so that one index uses every processor that no other wants.
 *  2. Threads start with the first work, hold nothing of JavaScript, and live as long as the process.
 *  3. An index that was destroyed, or finds no memory, leaves the line; the next build() tries again.
 */
class Builders {
 public:
  static Builders& instance();

  /** Returns at once. */
  void build(std::shared_ptr<ShardIndex> index);

 private:
  Builders();
  void start();
  void work();
  struct Task {
    std::shared_ptr<ShardIndex> index;
    bool helps;
  };
  void own(std::shared_ptr<ShardIndex> index);
  void help(std::shared_ptr<ShardIndex> index);
  void invite(const std::shared_ptr<ShardIndex>& index);
  void line(std::shared_ptr<ShardIndex> index, bool helps);
  Task next();
  enum class Left { nothing, work, failure };
  static Left slice(ShardIndex& index);

  std::mutex lock_;
  std::condition_variable waiting_;
  std::deque<Task> line_;
  const unsigned threads_;
  bool started_ = false;
};

}  // namespace vectron
