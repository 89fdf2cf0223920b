#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace vectron {

inline unsigned processors() { return std::max(1u, std::thread::hardware_concurrency()); }

/** Calls work(i) for every i below `count`, on as many threads as there are processors; throws what the first failure threw. */
template <typename Work>
void inParallel(uint64_t count, Work work) {
  std::atomic<uint64_t> next{0};
  std::mutex lock;
  std::exception_ptr thrown;
  const auto run = [&] {
    try {
      for (uint64_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard<std::mutex> held(lock);
      if (!thrown) thrown = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> helpers;
  helpers.reserve(processors());
  try {
    for (uint64_t i = 1; i < std::min<uint64_t>(count, processors()); i++) helpers.emplace_back(run);
  } catch (const std::system_error&) {
    // No further thread is to be had: those there are do all the work.
  }
  run();
  for (std::thread& helper : helpers) helper.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace vectron
