#include "registry.h"

#include "failure.h"
#include "loaders.h"

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
  if (held.dimension != options.dimension || held.metric != options.metric || held.quantised != options.quantised)
    throw Failure("FAILED_PRECONDITION", "index " + key + " is open with other options");
  return found->second;
}

std::shared_ptr<ShardIndex> Registry::open(const std::string& key, const Options& options, const std::string& path) {
  checkOptions(options);
  const std::lock_guard<std::mutex> lock(lock_);
  if (auto index = find(key, options)) return index;
  auto index = std::make_shared<ShardIndex>(options);
  indexes_.emplace(key, index);
  if (path.empty()) return index;
  index->beginLoad();
  try {
    Loaders::instance().load(index, path);
  } catch (...) {
    indexes_.erase(key);
    throw;
  }
  return index;
}

double Registry::bytes() {
  std::vector<std::shared_ptr<ShardIndex>> all;
  {
    const std::lock_guard<std::mutex> lock(lock_);
    for (const auto& entry : indexes_)
      if (!entry.second->isLoading()) all.push_back(entry.second);
  }
  double sum = 0;
  for (const auto& index : all) sum += index->bytesNow();
  return sum;
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
