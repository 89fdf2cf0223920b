#include "recall_monitor.h"

#include <chrono>

namespace vectron {
namespace {

constexpr int64_t everyMillis = 1000;

int64_t nowMillis() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

}  // namespace

bool RecallMonitor::isTime() const { return nowMillis() >= nextMillis_.load(std::memory_order_relaxed); }

void RecallMonitor::keep(AnsweredSearch&& search) {
  const std::lock_guard<std::mutex> lock(lock_);
  if (!isFree_) return;
  kept_ = std::move(search);
  isFree_ = false;
  nextMillis_ = nowMillis() + everyMillis;
}

bool RecallMonitor::take(AnsweredSearch& search) {
  const std::lock_guard<std::mutex> lock(lock_);
  if (isFree_) return false;
  search = std::move(kept_);
  isFree_ = true;
  return true;
}

void RecallMonitor::count(uint64_t found, uint64_t expected) {
  found_ += found;
  expected_ += expected;
}

}  // namespace vectron
