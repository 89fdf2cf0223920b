#include "link_turns.h"

#include <algorithm>

#include "points.h"

namespace vectron {

bool LinkTurns::mayTake(const Points& points) const {
  const int32_t most = std::clamp(points.linked() / linkedForOne, 1, underWayMax);
  return next_ - points.linked() < most;
}

int32_t LinkTurns::take(const Points& points, Time until) {
  std::unique_lock<std::mutex> lock(lock_);
  // Points may have come linked, from a file or as a copy.
  if (underWay_.empty()) next_ = points.linked();
  const auto ready = [&] { return next_ >= points.count() || mayTake(points); };
  if (!fewer_.wait_until(lock, until, ready) || next_ >= points.count()) return -1;
  underWay_.push_back(next_);
  return next_++;
}

void LinkTurns::done(Points& points, int32_t point) {
  {
    const std::lock_guard<std::mutex> lock(lock_);
    underWay_.erase(std::find(underWay_.begin(), underWay_.end(), point));
    const int32_t before = underWay_.empty() ? next_ : underWay_.front();
    for (int32_t i = points.linked(); i < before; i++) points.publishLink(i);
  }
  fewer_.notify_all();
}

}  // namespace vectron
