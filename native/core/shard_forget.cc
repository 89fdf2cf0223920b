#include <algorithm>
#include <mutex>
#include <shared_mutex>

#include "shard_index.h"

/** How a ShardIndex forgets removals, and keeps the texts of ids meanwhile. */
namespace vectron {
namespace {

/** Ids that are looked at while writers wait. */
constexpr size_t step = 512;

/** Of an id beyond its characters: its text, its entry in the map and the map's bucket, about. */
constexpr size_t entryBytes = 128;

}  // namespace

/** Under writing_. Where it stays until it is forgotten. */
const std::string& ShardIndex::textOf(std::string_view id) {
  idBytes_ += id.size() + entryBytes;
  if (freeTexts_.empty()) return idTexts_->emplace_back(id);
  std::string& text = (*idTexts_)[freeTexts_.back()];
  freeTexts_.pop_back();
  return text = id;
}

std::shared_ptr<const std::deque<std::string>> ShardIndex::idTextsNow() {
  const std::lock_guard<std::mutex> lock(writing_);
  return idTexts_;
}

void ShardIndex::askToForget(int64_t horizon) {
  int64_t asked = askedHorizon_;
  while (asked < horizon && !askedHorizon_.compare_exchange_weak(asked, horizon)) continue;
}

void ShardIndex::forgetAsAsked() {
  const int64_t horizon = askedHorizon_.exchange(0);
  if (horizon > 0) forgetRemovals(horizon);
}

void ShardIndex::forgetRemovals(int64_t horizon) {
  dropRemovals(horizon);
  freeTexts();
}

/** An id that was forgotten and came again has a second text; only the one that its entry refers to is the entry's. */
void ShardIndex::dropRemovals(int64_t horizon) {
  for (size_t from = 0;; from += step) {
    const std::lock_guard<std::mutex> lock(writing_);
    live();
    if (from >= idTexts_->size()) return;
    for (size_t i = from; i < std::min(from + step, idTexts_->size()); i++) {
      const std::string& text = (*idTexts_)[i];
      const auto found = held_.find(text);
      if (found == held_.end() || found->first.data() != text.data()) continue;
      if (found->second.label != noLabel || found->second.version >= horizon) continue;
      held_.erase(found);
      forgottenTexts_.push_back(i);
    }
  }
}

/** Under a share of linking_, which keeps both graphs where they are. In order. */
std::vector<const char*> ShardIndex::idsOfDeadRows() const {
  std::vector<const char*> ids;
  for (const Points* points : {static_cast<const Points*>(points_.get()), static_cast<const Points*>(rebuild_.next.get())}) {
    const int32_t count = points == nullptr ? 0 : points->count();
    for (int32_t i = 0; i < count; i++)
      if (points->isDead(i)) ids.push_back(points->id(i).data());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

/**
 * Rows of a forgotten id are dead, and none is added: whoever puts the id again gives it another text. Whoever reads ids
 * of replaced points, or writes a file, shares texts_; all others read them of the points there are.
 */
void ShardIndex::freeTexts() {
  const std::unique_lock<std::shared_mutex> alone(texts_, std::try_to_lock);
  if (!alone) return;
  const std::shared_lock<ReadWriteLock> linking(linking_);
  std::vector<size_t> forgotten;
  {
    const std::lock_guard<std::mutex> lock(writing_);
    live();
    forgotten.swap(forgottenTexts_);
  }
  const std::vector<const char*> inRows = idsOfDeadRows();
  for (size_t from = 0; from < forgotten.size(); from += step) {
    const std::lock_guard<std::mutex> lock(writing_);
    for (size_t i = from; i < std::min(from + step, forgotten.size()); i++) {
      std::string& text = (*idTexts_)[forgotten[i]];
      if (std::binary_search(inRows.begin(), inRows.end(), text.data())) {
        forgottenTexts_.push_back(forgotten[i]);
        continue;
      }
      idBytes_ -= text.size() + entryBytes;
      text = std::string();
      freeTexts_.push_back(forgotten[i]);
    }
  }
}

}  // namespace vectron
