#include "recall_monitor.h"

#include <algorithm>
#include <chrono>

namespace vectron {
namespace {

constexpr int64_t pauseMillisLeast = 1000;
/** A scan measures about a million floats in this time; a hundred times as long it shall rest. */
constexpr double millisOfAMillion = 0.8;
constexpr double restShare = 100;

int64_t nowMillis() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

}  // namespace

bool RecallMonitor::isTime() const { return nowMillis() >= nextMillis_.load(std::memory_order_relaxed); }

int64_t RecallMonitor::pauseMillis(double floats) {
  return std::max(pauseMillisLeast, static_cast<int64_t>(floats / 1e6 * millisOfAMillion * restShare));
}

void RecallMonitor::keep(AnsweredSearch&& search) {
  const std::lock_guard<std::mutex> lock(lock_);
  if (!isFree_) return;
  kept_ = std::move(search);
  isFree_ = false;
  const auto floats = static_cast<double>(kept_.count) * static_cast<double>(kept_.query.size());
  nextMillis_ = nowMillis() + pauseMillis(floats);
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
