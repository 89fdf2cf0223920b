#pragma once
#include <memory>
#include <string>

#include "shard_index.h"

namespace vectron {

struct Opened {
  std::shared_ptr<ShardIndex> index;
  /** Why the file was not used; empty when it was, or none was named or there. */
  std::string refused;
};

/**
 * Every index of the process by key. It outlives the threads that use it: a thread that is terminated drops its handles,
 * and the next one to open the key gets the same index.
 */
class Registry {
 public:
  static Registry& instance();

  /** Attaches, or loads `path` (empty: no file), or creates. FAILED_PRECONDITION when open with other options. */
  Opened open(const std::string& key, const Options& options, const std::string& path);
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
