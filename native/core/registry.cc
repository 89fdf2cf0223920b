#include "registry.h"

#include <cstring>

#include "failure.h"

namespace vectron {

/** Never destroyed: threads may still search while the process exits. */
Registry& Registry::instance() {
  static Registry* const registry = new Registry;
  return *registry;
}

std::shared_ptr<ShardIndex> Registry::find(const std::string& key, const Options& options) {
  const auto found = indexes_.find(key);
  if (found == indexes_.end()) return nullptr;
  const Options& held = found->second->options();
  if (held.dimension != options.dimension || held.metric != options.metric)
    throw Failure("FAILED_PRECONDITION", "index " + key + " is open with other options");
  return found->second;
}

Opened Registry::open(const std::string& key, const Options& options, const std::string& path) {
  checkOptions(options);
  {
    const std::lock_guard<std::mutex> lock(lock_);
    if (auto index = find(key, options)) return {index, ""};
  }
  // Loading takes long: others need not wait. Of two that load the same key, the first to be done wins.
  Opened opened{std::make_shared<ShardIndex>(options), ""};
  if (!path.empty()) {
    try {
      opened.index->load(path);
    } catch (const Failure& failure) {
      if (std::strcmp(failure.code, "NOT_FOUND") != 0) opened.refused = failure.what();
    }
  }
  const std::lock_guard<std::mutex> lock(lock_);
  if (auto index = find(key, options)) return {index, ""};
  indexes_.emplace(key, opened.index);
  return opened;
}

void Registry::drop(const std::string& key) {
  std::shared_ptr<ShardIndex> index;
  {
    const std::lock_guard<std::mutex> lock(lock_);
    const auto found = indexes_.find(key);
    if (found == indexes_.end()) return;
    index = found->second;
    indexes_.erase(found);
  }
  index->destroy();
}

void Registry::destroy(const std::string& key, const std::shared_ptr<ShardIndex>& index) {
  {
    const std::lock_guard<std::mutex> lock(lock_);
    const auto found = indexes_.find(key);
    if (found != indexes_.end() && found->second == index) indexes_.erase(found);
  }
  index->destroy();
}

}  // namespace vectron
