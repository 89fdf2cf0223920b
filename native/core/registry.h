#pragma once
#include <memory>
#include <string>

#include "shard_index.h"

namespace vectron {

/**
 * Every index of the process by key. It outlives the threads that use it: a thread that is terminated drops its handles,
 * and the next one to open the key gets the same index.
 */
class Registry {
 public:
  static Registry& instance();

  /**
   * Attaches, or creates and has `path` (empty: no file) loaded by a thread of its own: until then the index is loading.
   * FAILED_PRECONDITION when open with other options.
   */
  std::shared_ptr<ShardIndex> open(const std::string& key, const Options& options, const std::string& path);
  /** Of all indexes but those that are loading. */
  double bytes();
  /** Destroys the index of this key, if any. Its handles then answer FAILED_PRECONDITION. */
  void drop(const std::string& key);
  /** The same, but only if the key still means this index. */
  void destroy(const std::string& key, const std::shared_ptr<ShardIndex>& index);

 private:
  std::shared_ptr<ShardIndex> find(const std::string& key, const Options& options);

  std::mutex lock_;
  std::unordered_map<std::string, std::shared_ptr<ShardIndex>> indexes_;
};

}  // namespace vectron
