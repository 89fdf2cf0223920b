#include <chrono>
#include <thread>

#include "support.h"

namespace vectron {
namespace {

void linkAll(ShardIndex& index) {
  while (index.link(1000000) > 0) {
  }
}

/** Replaces so many points that a graph of the living is wanted, and begins to build it. */
void beginRebuild(ShardIndex& index, Data& data, int replaced) {
  fillIndex(index, data, 0, replaced, 2);
  while (index.stats().unlinked > 0) index.link(1);
  const double before = index.stats().bytes;
  while (index.stats().bytes <= before) index.link(1);
}

/** Labels that are given and freed while a graph is rebuilt, beyond what it has room for, are not given out again. */
void testLabelsOfARebuild() {
  Data data(1, 8);
  ShardIndex index(optionsOf(8, Metric::euclidean, 100, 64));
  fillIndex(index, data, 0, 1000, 1);
  linkAll(index);
  beginRebuild(index, data, 800);
  fillIndex(index, data, 2000, 2500, 3);
  for (int i = 2000; i < 2500; i++) index.remove("p" + std::to_string(i), 4);
  linkAll(index);
  EXPECT(index.stats().tombstones == 0);
  EXPECT(codeOf([&] { fillIndex(index, data, 3000, 3500, 5); }) == "");
  linkAll(index);
  EXPECT(index.stats().live == 1500);
  std::set<uint32_t> labels;
  std::string id;
  for (int i = 0; i < 3500; i++) {
    const std::string name = "p" + std::to_string(i);
    const uint32_t label = index.labelOf(name);
    EXPECT((label != noLabel) == (i < 1000 || i >= 3000));
    if (label == noLabel) continue;
    EXPECT(labels.insert(label).second && index.idOf(label, id) && id == name);
  }
}

/** Figures are told beside the end of a rebuild, which is as long as there are points: every write asks for them. */
void testFiguresDoNotWait() {
  using Clock = std::chrono::steady_clock;
  constexpr int points = 40000;
  Data data(7, 8);
  Options options = optionsOf(8, Metric::euclidean, 100, 1 << 17);
  options.m = 2;
  options.efConstruction = 4;
  ShardIndex index(options);
  fillIndex(index, data, 0, points, 1);
  linkAll(index);
  fillIndex(index, data, 0, points * 7 / 10, 2);
  while (index.stats().unlinked > 0) index.link(1);
  std::atomic<bool> done{false};
  std::atomic<int> waited{0}, asked{0};
  std::thread asking([&] {
    while (!done) {
      const auto began = Clock::now();
      index.stats();
      waited += Clock::now() - began > std::chrono::milliseconds(8);
      asked++;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  linkAll(index);
  done = true;
  asking.join();
  EXPECT(index.stats().tombstones == 0 && index.stats().live == points);
  // Without a lock it is waited for the processor alone.
  EXPECT(waited * 50 <= asked);
}

/** Memory that is being filled beside what it replaces is counted. */
void testBytesBesideAreCounted() {
  Data data(9, 8);
  ShardIndex index(optionsOf(8, Metric::euclidean, 100, 64));
  fillIndex(index, data, 0, 2000, 1);
  linkAll(index);
  const double before = index.stats().bytes;
  beginRebuild(index, data, 1900);
  while (index.stats().tombstones > 0 && index.link(200) > 0)
    if (index.stats().bytes > before * 1.9) break;
  EXPECT(index.stats().tombstones == 0 || index.bytesNow() > before * 1.9);
  linkAll(index);
  EXPECT(index.stats().bytes < before * 1.2);
}

}  // namespace

void testGrowth() {
  testLabelsOfARebuild();
  testFiguresDoNotWait();
  testBytesBesideAreCounted();
}

}  // namespace vectron
