#include "failure.h"
#include "graph_file.h"
#include "shard_index.h"

/** How a ShardIndex becomes a file, and a file a ShardIndex. */
namespace vectron {

double ShardIndex::save(const std::string& path) {
  const std::lock_guard<std::mutex> saving(saving_);
  return GraphFile::save(*this, path);
}

bool ShardIndex::beginSave() { return !isSaving_.exchange(true); }

void ShardIndex::endSave(const Saved& saved) {
  const std::lock_guard<std::mutex> lock(savedLock_);
  saved_ = saved;
  isSaving_ = false;
}

Saved ShardIndex::takeSaved() {
  const std::lock_guard<std::mutex> lock(savedLock_);
  return std::exchange(saved_, Saved{});
}

/** The stamp is set once what it stands for was put: whatever it says, the rows counted here have it. */
Moment ShardIndex::momentNow() {
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  Moment moment;
  moment.points = points_;
  moment.idTexts = idTexts_;
  moment.idCount = idTexts_->size();
  moment.appliedIndex = appliedIndex_;
  moment.count = points_->count();
  moment.linked = points_->linked();
  moment.entry = points_->entry();
  const uint64_t* const words = points_->tombstones().data();
  moment.tombstones.assign(words, words + moment.count / 64 + 1);
  return moment;
}

std::vector<std::pair<std::string_view, int64_t>> ShardIndex::removalsOf(const Moment& moment, size_t from, size_t to) {
  std::vector<std::pair<std::string_view, int64_t>> removals;
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  for (size_t i = from; i < to; i++) {
    const std::string_view id = (*moment.idTexts)[i];
    const Held& held = held_.find(id)->second;
    if (held.label == noLabel && held.version >= 0) removals.emplace_back(id, held.version);
  }
  return removals;
}

void ShardIndex::endLoad(const std::string& refused) {
  const std::lock_guard<std::mutex> lock(loadLock_);
  refused_ = refused;
  loading_ = false;
  loaded_.notify_all();
}

void ShardIndex::whenLoaded() {
  if (!loading_) return;
  std::unique_lock<std::mutex> lock(loadLock_);
  loaded_.wait(lock, [this] { return !loading_; });
}

/** Only before anybody else uses the index. */
void ShardIndex::load(const std::string& path) {
  const std::lock_guard<ReadWriteLock> linking(linking_);
  const std::lock_guard<std::mutex> lock(writing_);
  live();
  try {
    GraphFile::load(*this, path);
  } catch (...) {
    held_.clear();
    idTexts_->clear();
    idBytes_ = 0;
    labelCount_ = 0;
    liveCount_ = 0;
    throw;
  }
}

}  // namespace vectron
