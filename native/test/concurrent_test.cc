#include <chrono>
#include <cmath>
#include <map>
#include <thread>

#include "../core/builders.h"
#include "support.h"

namespace vectron {
namespace {

/** Readers beside one writer that puts, updates, removes, links, grows and saves. For the thread sanitizer. */
void testReadersBesideWriter() {
  const auto index = Registry::instance().open("race", optionsOf(16, Metric::euclidean, 150, 64), "");
  std::atomic<bool> done{false};
  Data data(1, 16);
  fillIndex(*index, data, 0, 100, 1);
  std::vector<std::thread> readers;
  for (uint32_t r = 0; r < 3; r++)
    readers.emplace_back([&, r] {
      Data mine(100 + r, 16);
      while (!done) {
        const Vector query = mine.next();
        const Hits hits = index->search(query.data(), query.size(), 10, 20);
        EXPECT(hits.ids.size() == 10);
        EXPECT(std::set<std::string>(hits.ids.begin(), hits.ids.end()).size() == 10);
      }
    });
  const std::string path = fileOf(".race");
  for (int round = 0; round < 12; round++) {
    fillIndex(*index, data, 40, 100 * (round + 2), round + 2);
    index->link(20000);
    for (int i = 100; i < 100 * round; i += 7) index->remove("p" + std::to_string(i), round + 2);
    index->link(20000);
    if (round % 4 == 0) index->save(path);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  unlink(path.c_str());
  Registry::instance().drop("race");
}

/** Builders link, grow and rebuild while one thread writes and others search; in the end the graph has what was put. */
void testBuildersBesideAWriter() {
  Data data(31, 16);
  const auto index = Registry::instance().open("built", optionsOf(16, Metric::euclidean, 50, 0), "");
  std::map<std::string, Vector> kept;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (uint32_t r = 0; r < 2; r++)
    readers.emplace_back([&, r] {
      Data mine(200 + r, 16);
      while (!done) {
        const Vector query = mine.next();
        const Hits hits = index->search(query.data(), query.size(), 10, 20);
        EXPECT(std::set<std::string>(hits.ids.begin(), hits.ids.end()).size() == hits.ids.size());
      }
    });
  for (int i = 0; i < 6000; i++) {
    const std::string id = "p" + std::to_string(i % 2500);
    const Vector vector = data.next();
    if (i % 11 == 3 && i > 2500) {
      index->remove(id, i);
      kept.erase(id);
    } else {
      index->put(id, i, vector.data(), vector.size());
      kept[id] = vector;
    }
    Builders::instance().build(index);
  }
  const auto settled = [&] { return index->stats().unlinked == 0 && index->stats().tombstones < 2400; };
  for (int tries = 0; !settled() && tries < 600000; tries++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT(settled());
  EXPECT(index->stats().live == static_cast<double>(kept.size()));
  int found = 0, asked = 0;
  for (const auto& [id, vector] : kept) {
    if (++asked % 10 != 0) continue;
    const Hits hits = index->search(vector.data(), vector.size(), 1, 100);
    EXPECT(hits.strategy == vectron::Strategy::graph);
    found += !hits.ids.empty() && hits.ids[0] == id;
  }
  EXPECT(found * 100 >= asked / 10 * 98);
  Registry::instance().drop("built");
}

/** Links all that is there with so many threads at once; returns recall@10 at ef 40. */
double recallLinkedBy(int threads, Data data) {
  Options options = optionsOf(24, Metric::euclidean, 50, 6000);
  options.efConstruction = 100;
  ShardIndex index(options);
  fillIndex(index, data, 0, 6000, 1);
  std::vector<std::thread> linkers;
  for (int t = 0; t < threads; t++)
    linkers.emplace_back([&] {
      while (index.link(2000) > 0) continue;
    });
  for (std::thread& linker : linkers) linker.join();
  EXPECT(index.stats().unlinked == 0);
  bool graph = false;
  double sum = 0;
  constexpr int repeats = 8;
  for (int i = 0; i < repeats; i++) sum += recallOf(index, data, 10, 40, graph);
  EXPECT(graph);
  return sum / repeats;
}

/** Whichever threads link, the graph is as good. */
void testLinkersBesideEachOther() {
  const Data data(51, 24);
  const double one = recallLinkedBy(1, data);
  for (const int threads : {2, 4}) {
    const double several = recallLinkedBy(threads, data);
    std::printf("recall@10 linked by 1 thread %.4f, by %d threads %.4f\n", one, threads, several);
    EXPECT(one > 0.9 && std::abs(one - several) < 0.005);
  }
}

/** Every link of the graph leads to another linked point that is on the level, and to each once. */
void expectWhole(const Points& points) {
  for (int32_t i = 0; i < points.linked(); i++)
    for (int32_t level = 0; level <= points.level(i); level++) {
      std::set<int32_t> seen;
      for (int32_t j = 0; j < points.slots(level) && points.list(i, level)[j] >= 0; j++) {
        const int32_t neighbour = points.list(i, level)[j];
        EXPECT(neighbour < points.linked() && neighbour != i && points.level(neighbour) >= level);
        EXPECT(seen.insert(neighbour).second);
      }
    }
}

/** Linkers alone, on points themselves: lists stay whole, in a small graph too, where they take turns. */
void testListsOfManyLinkers() {
  for (const int32_t count : {1, 2, 40, 3000}) {
    const Options options = optionsOf(8, Metric::dot, 0, 3000);
    Points points(options, 3000, 0);
    Data data(static_cast<uint32_t>(60 + count), 8);
    for (int32_t i = 0; i < count; i++) points.append(data.next().data(), "", 1, static_cast<uint32_t>(i));
    const Linker linker(options, kernels());
    std::vector<std::thread> linkers;
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(5);
    for (int t = 0; t < 4; t++)
      linkers.emplace_back([&] {
        while (linker.linkNext(points, until)) continue;
      });
    for (std::thread& thread : linkers) thread.join();
    EXPECT(points.linked() == count);
    expectWhole(points);
  }
}

/** A search that is kept is answered again over the rows it was answered over, whatever was put since. */
void testRecallMonitor() {
  Data data(41, 16);
  ShardIndex index(optionsOf(16, Metric::euclidean, 50, 0));
  fillIndex(index, data, 0, 2000, 1);
  index.link(10000000);
  const Vector query = data.next();
  index.auditRecall();
  EXPECT(index.stats().recallExpected == 0);
  const Hits hits = index.search(query.data(), query.size(), 10, 16);
  const Hits exact = index.exact(query.data(), query.size(), 10);
  index.put("nearer", 9, query.data(), query.size());
  index.auditRecall();
  const std::set<std::string> best(exact.ids.begin(), exact.ids.end());
  double found = 0;
  for (const std::string& id : hits.ids) found += best.count(id) != 0;
  EXPECT(index.stats().recallExpected == 10);
  EXPECT(index.stats().recallFound == found);
  index.search(query.data(), query.size(), 10, 16);
  index.auditRecall();
  EXPECT(index.stats().recallExpected == 10);
}

/** A point that is replaced while a search runs is met at its old place and its new one, but told once. */
void testReplacedPointsAreToldOnce() {
  ShardIndex index(optionsOf(4, Metric::euclidean, 1000, 64));
  Data data(2, 4);
  std::vector<Vector> vectors;
  for (int i = 0; i < 40; i++) vectors.push_back(data.next());
  const auto putAll = [&](int64_t version) {
    for (int i = 0; i < 40; i++) index.put("p" + std::to_string(i), version, vectors[static_cast<size_t>(i)].data(), 4);
  };
  putAll(0);
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; r++)
    readers.emplace_back([&] {
      while (!done) {
        const Hits hits = index.search(vectors[0].data(), 4, 100, 0);
        EXPECT(hits.ids.size() == 40);
        EXPECT(std::set<std::string>(hits.ids.begin(), hits.ids.end()).size() == hits.ids.size());
      }
    });
  for (int64_t version = 1; version <= 3000; version++) putAll(version);
  done = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace

void testConcurrency() {
  testReadersBesideWriter();
  testBuildersBesideAWriter();
  testLinkersBesideEachOther();
  testListsOfManyLinkers();
  testRecallMonitor();
  testReplacedPointsAreToldOnce();
}

}  // namespace vectron
