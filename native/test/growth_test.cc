#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "../core/builders.h"
#include "../core/vector_memory.h"
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

/** Removals that are older than a horizon leave nothing behind, in memory and in the file; the others stay. */
void testRemovalsAreForgotten() {
  Data data(5, 4);
  const Options options = optionsOf(4, Metric::euclidean, 1000, 0);
  ShardIndex index(options);
  constexpr int sessions = 5000;
  const auto name = [](int i) { return "a session with a long name " + std::to_string(i); };
  const auto come = [&](int i, int64_t version) { index.put(name(i), version, data.next().data(), 4); };
  for (int i = 0; i < sessions; i++) {
    come(i, 2 * i);
    index.remove(name(i), 2 * i + 1);
  }
  const double before = index.stats().bytes;
  const int kept = sessions - 100;
  index.forgetRemovals(2 * kept);
  EXPECT(index.versionOf(name(kept - 1)) == -1);
  EXPECT(index.versionOf(name(kept)) == 2 * kept + 1);
  EXPECT(index.stats().bytes < before / 4);
  // Of those that come again some take the place of what was forgotten; older and newer versions are told apart.
  for (int i = 0; i < sessions; i += 2) come(i, 2 * kept);
  EXPECT(index.stats().live == kept / 2 && index.versionOf(name(sessions - 2)) == 2 * (sessions - 2) + 1);
  const std::string path = fileOf(".forgotten");
  index.save(path);
  ShardIndex loaded(options);
  loaded.load(path);
  for (int i = 0; i < sessions; i++) {
    EXPECT(loaded.versionOf(name(i)) == index.versionOf(name(i)));
    EXPECT((index.labelOf(name(i)) == noLabel) == (i % 2 == 1 || i >= kept));
  }
  unlink(path.c_str());
}

/** Forgotten ids whose rows are still in the graph, while it is searched, linked, saved and rebuilt. For the sanitizers. */
void testForgettingBesideAll() {
  Data data(6, 8);
  const auto index = Registry::instance().open("forgets", optionsOf(8, Metric::euclidean, 100, 64), "");
  fillIndex(*index, data, 0, 600, 1);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    Data mine(60, 8);
    while (!done) {
      const Vector query = mine.next();
      for (const std::string& id : index->search(query.data(), 8, 20, 40).ids) EXPECT(!id.empty());
    }
  });
  const std::string path = fileOf(".forgets");
  std::thread saver([&] {
    while (!done) index->save(path);
  });
  for (int round = 2; round < 40; round++) {
    fillIndex(*index, data, 0, 400, 2 * round);
    for (int i = 0; i < 400; i += 3) index->remove("p" + std::to_string(i), 2 * round + 1);
    index->askToForget(2 * round + 2);
    Builders::instance().build(index);
  }
  done = true;
  reader.join();
  saver.join();
  linkAll(*index);
  index->forgetRemovals(1000);
  EXPECT(index->versionOf("p3") == -1 && index->versionOf("p1") == 78 && index->stats().live == 600 - 134);
  const Vector query = data.next();
  EXPECT(index->exact(query.data(), 8, 1000).ids.size() == 466);
  unlink(path.c_str());
  Registry::instance().drop("forgets");
}

/** What nobody may link grows all the same, in the builders. */
void testGrowsWithoutLinking() {
  Data data(8, 8);
  const auto index = Registry::instance().open("grows", optionsOf(8, Metric::euclidean, 100, 2048), "");
  fillIndex(*index, data, 0, 1700, 1);
  const double before = index->stats().bytes;
  for (int i = 1700; i < 2000; i++) {
    fillIndex(*index, data, i, i + 1, 1);
    Builders::instance().grow(index);
  }
  for (int tries = 0; index->growsInLine && tries < 10000; tries++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  index->growAhead();
  EXPECT(index->stats().unlinked == 2000 && index->stats().bytes < before * 1.5);
  EXPECT(!index->growAhead());
  EXPECT(index->takeBuildFailure().empty());
  Registry::instance().drop("grows");
}

/** Builders that give up say why. */
void testFailedBuildsAreTold() {
  const auto index = std::make_shared<ShardIndex>(optionsOf(4, Metric::euclidean, 10, 64));
  index->destroy();
  Builders::instance().build(index);
  std::string why;
  for (int tries = 0; why.empty() && tries < 10000; tries++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    why = index->takeBuildFailure();
  }
  EXPECT(why == "the index was destroyed");
}

/** Vectors that were to be on a disk that is full are in memory, and counted; what was promised before is not refused. */
void testFullDisk() {
  Data data(10, 1024);
  Options options = optionsOf(1024, Metric::euclidean, 1000, 20000);
  options.folder = std::getenv("TMPDIR") == nullptr ? "/tmp" : std::getenv("TMPDIR");
  VectorMemory::roomMax = 20 * 1024 * 1024;
  ShardIndex index(options);
  std::vector<Vector> vectors;
  for (int i = 0; i < 6000; i++) {
    vectors.push_back(data.gaussian(1));
    index.put("p" + std::to_string(i), 1, vectors.back().data(), 1024);
  }
  VectorMemory::roomMax = SIZE_MAX;
  EXPECT(index.stats().bytes > 6000 * 1024 * 1.2 + 7e6);
  for (int i = 0; i < 6000; i += 500) {
    const Hits hits = index.exact(vectors[static_cast<size_t>(i)].data(), 1024, 1);
    EXPECT(hits.ids.size() == 1 && hits.ids[0] == "p" + std::to_string(i));
  }
}

/** What looks at all rows is the rarer the more there are. */
void testAuditsAreSeldom() {
  EXPECT(RecallMonitor::pauseMillis(1000) == 1000);
  EXPECT(RecallMonitor::pauseMillis(1e6 * 128) >= 10000);
}

}  // namespace

void testGrowth() {
  testAuditsAreSeldom();
  testRemovalsAreForgotten();
  testForgettingBesideAll();
  testGrowsWithoutLinking();
  testFailedBuildsAreTold();
  testFullDisk();
  testLabelsOfARebuild();
  testFiguresDoNotWait();
  testBytesBesideAreCounted();
}

}  // namespace vectron
