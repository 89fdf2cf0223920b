#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "../core/checksum.h"
#include "support.h"

using namespace vectron;

namespace {

void testChecksum() {
  const auto of = [](const std::string& text, size_t piece) {
    Checksum checksum;
    for (size_t at = 0; at < text.size(); at += piece)
      checksum.feed(text.data() + at, std::min(piece, text.size() - at));
    return checksum.value();
  };
  // Published values of XXH64 with seed 0.
  EXPECT(of("", 1) == 0xef46db3751d8e999ull);
  EXPECT(of("a", 1) == 0xd24ec4f1a98c6e5bull);
  EXPECT(of("abc", 1) == 0x44bc2cf5ad770999ull);
  const std::string longer(1000, 'x');
  for (const size_t piece : {1u, 7u, 31u, 32u, 33u, 1000u}) EXPECT(of(longer, piece) == of(longer, 1000));
}

void testKernels() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    const Kernels* set = kernelsNamed(name);
    if (set == nullptr) continue;
    for (size_t n = 1; n <= 300; n++) {
      Vector a(n), b(n);
      double dot = 0, l2 = 0, size = 0;
      for (size_t i = 0; i < n; i++) {
        a[i] = normal(random);
        b[i] = normal(random);
        dot += static_cast<double>(a[i]) * b[i];
        l2 += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
        size += std::fabs(static_cast<double>(a[i]) * b[i]);
      }
      EXPECT(std::fabs(set->dot(a.data(), b.data(), n) - dot) <= 1e-6 * size);
      EXPECT(std::fabs(set->squaredL2(a.data(), b.data(), n) - l2) <= 1e-6 * l2);
    }
    for (const size_t n : {64u, 128u, 192u, 256u, 832u, 65536u}) {
      std::vector<uint8_t> u(n);
      std::vector<int8_t> c(n);
      // The largest products there are, and random ones.
      for (const bool extreme : {true, false}) {
        int64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
          u[i] = extreme ? 255 : static_cast<uint8_t>(random());
          c[i] = extreme ? -128 : static_cast<int8_t>(random());
          sum += static_cast<int64_t>(u[i]) * c[i];
        }
        EXPECT(set->dotCodes(u.data(), c.data(), n) == sum);
        // Rows in any order, one of them twice, equal what each gives alone.
        if (n % 128 != 0 || n > 1000) continue;
        const int32_t rows[] = {1, 0, 1};
        int32_t dots[3];
        set->dotRows(u.data(), rows, 3, c.data(), n / 2, dots);
        for (size_t i = 0; i < 3; i++)
          EXPECT(dots[i] == set->dotCodes(u.data() + static_cast<size_t>(rows[i]) * (n / 2), c.data(), n / 2));
      }
    }
  }
}

/** 8-bit distances are near the true ones, also far from the origin. */
void testCodes() {
  for (const size_t dimension : {1u, 2u, 47u, 48u, 49u, 64u, 128u, 784u}) {
    Data data(7, dimension);
    const CodeShape shape(dimension);
    for (const float offset : {0.0f, 50.0f}) {
      for (int round = 0; round < 50; round++) {
        Vector a = data.next(), b = data.next();
        for (size_t i = 0; i < dimension; i++) {
          a[i] += offset;
          b[i] += offset;
        }
        std::vector<uint8_t> row(shape.stride);
        RowSums beside;
        const CodeRows rows(shape, row.data(), &beside);
        encodeRow(shape, b.data(), row.data(), rows.sumsOf(0));
        CodeQuery query;
        query.fromVector(shape, a.data());
        const float exact = portableKernels.squaredL2(a.data(), b.data(), dimension);
        const float coarse = query.distance(portableKernels, Form::squaredL2, rows, 0);
        EXPECT(std::fabs(coarse - exact) <= 0.03f * exact + 0.01f * static_cast<float>(dimension) * (1 + offset / 50));
        const float dot = portableKernels.dot(a.data(), b.data(), dimension);
        const float coarseDot = -query.distance(portableKernels, Form::innerProduct, rows, 0);
        const float lengths = std::sqrt(portableKernels.dot(a.data(), a.data(), dimension) *
                                        portableKernels.dot(b.data(), b.data(), dimension));
        EXPECT(std::fabs(coarseDot - dot) <= 0.01f * lengths + 1e-4f);
      }
    }
  }
}

void testGraph(Metric metric) {
  Data data(11, 32);
  // The capacity is too small on purpose: it grows, with and without a graph.
  ShardIndex index(optionsOf(32, metric, 200, 100));
  fillIndex(index, data, 0, 1500, 1);
  EXPECT(index.stats().unlinked == 1500);
  while (index.link(1000) > 0) {
  }
  fillIndex(index, data, 1500, 3000, 1);
  bool graph = false;
  EXPECT(recallOf(index, data, 10, 64, graph) >= 0.95);
  EXPECT(graph);
  while (index.link(1000) > 0) {
  }
  EXPECT(recallOf(index, data, 10, 64, graph) >= 0.95);
  for (int i = 0; i < 3000; i += 3) index.remove("p" + std::to_string(i), 2);
  fillIndex(index, data, 0, 300, 1);
  EXPECT(index.stats().live == 2000);
  EXPECT(recallOf(index, data, 10, 64, graph) >= 0.95);
  EXPECT(graph);
  // All but a few removed: still never fewer than there are.
  for (int i = 0; i < 2995; i++) index.remove("p" + std::to_string(i), 3);
  const Vector query = data.next();
  EXPECT(index.search(query.data(), query.size(), 10, 16).ids.size() == static_cast<size_t>(index.stats().live));
}

/** A set kept in step with the index by what put and remove return, and as a plain list of ids. */
struct TestSet {
  explicit TestSet(size_t words) : words(words) {}
  void add(uint32_t label, const std::string& id) {
    words[label / 32] |= 1u << (label % 32);
    ids[id] = label;
  }
  void drop(uint32_t label, const std::string& id) {
    words[label / 32] &= ~(1u << (label % 32));
    ids.erase(id);
  }
  LabelSet bitmap() const { return {words.data(), nullptr, words.size()}; }
  LabelSet list(std::vector<uint32_t>& out) const {
    out.clear();
    for (const auto& entry : ids) out.push_back(entry.second);
    return {nullptr, out.data(), out.size()};
  }
  std::vector<uint32_t> words;
  std::map<std::string, uint32_t> ids;
};

/** Every strategy, form of set and size of set against brute force, while points come, change, go and are moved. */
void testSets(Metric metric) {
  Data data(17, 16);
  ShardIndex index(optionsOf(16, metric, 300, 500));
  std::map<std::string, Vector> all;
  std::vector<TestSet> sets(5, TestSet(200));
  const double shares[] = {0.002, 0.02, 0.1, 0.5, 0.99};
  std::uniform_real_distribution<double> uniform;
  double found[4] = {}, wanted[4] = {};
  const auto write = [&](int i, int64_t version) {
    const std::string id = "p" + std::to_string(i);
    if (version % 4 == 3) {
      const uint32_t label = index.remove(id, version);
      EXPECT((label != noLabel) == (all.erase(id) == 1));
      if (label != noLabel)
        for (TestSet& set : sets) set.drop(label, id);
      return;
    }
    const Vector v = data.next();
    const uint32_t label = index.put(id, version, v.data(), v.size());
    EXPECT(label == index.labelOf(id));
    all[id] = v;
    for (size_t s = 0; s < sets.size(); s++) {
      if (uniform(data.random) < shares[s]) sets[s].add(label, id);
      else sets[s].drop(label, id);
    }
  };
  const auto compare = [&](const TestSet& set, Strategy strategy, bool exact) {
    const Vector query = data.next();
    std::vector<std::pair<float, std::string>> truth;
    ShardIndex plain(optionsOf(16, metric, 1 << 20, 0));
    for (const auto& entry : set.ids) plain.put(entry.first, 1, all[entry.first].data(), 16);
    std::vector<uint32_t> list;
    const LabelSet given = data.random() % 2 ? set.bitmap() : set.list(list);
    Request request;
    request.query = query.data();
    request.length = 16;
    request.k = 10;
    // Hops past points outside the set miss some of its neighbours: it takes a wider beam for the same recall.
    request.ef = strategy == Strategy::twoHop ? 200 : 80;
    request.allowed = &given;
    request.strategy = strategy;
    request.exact = exact;
    if (data.random() % 8 == 0) request.distancesMax = 1 + data.random() % 50;
    const Hits hits = index.search(request), right = plain.exact(query.data(), 16, 10);
    EXPECT(hits.ids.size() == std::min<size_t>(10, set.ids.size()));
    EXPECT(hits.matches == set.ids.size());
    EXPECT(std::set<std::string>(hits.ids.begin(), hits.ids.end()).size() == hits.ids.size());
    for (const std::string& id : hits.ids) EXPECT(set.ids.count(id) == 1);
    if (exact) EXPECT(hits.ids == right.ids);
    const std::set<std::string> rightIds(right.ids.begin(), right.ids.end());
    const auto at = static_cast<size_t>(strategy);
    for (const std::string& id : hits.ids) found[at] += static_cast<double>(rightIds.count(id));
    wanted[at] += static_cast<double>(right.ids.size());
  };
  int64_t version = 0;
  for (int round = 0; round < 6; round++) {
    const int points = round < 2 ? 100 : 3000;
    for (int i = 0; i < points; i++) write(static_cast<int>(data.random() % 4000), version++);
    // Some stay unlinked; from the fourth round on, rebuilds move points while some change.
    for (int slice = 0; slice < (round % 2 == 0 ? 1 : 1000) && index.link(2000) > 0; slice++)
      if (slice % 8 == 7) write(static_cast<int>(data.random() % 4000), version++);
    for (const TestSet& set : sets)
      for (const Strategy strategy : {Strategy::graph, Strategy::scan, Strategy::walk, Strategy::twoHop})
        for (int query = 0; query < 6; query++) compare(set, strategy, query == 0);
  }
  EXPECT(index.stats().labels <= 4000);
  std::string id;
  for (const auto& entry : all) EXPECT(index.idOf(index.labelOf(entry.first), id) && id == entry.first);
  EXPECT(!index.idOf(UINT32_MAX, id) && index.labelOf("nobody") == noLabel);
  // How many points two hops search for depends on how many this machine links in a slice; lists this short miss some of them.
  const auto least = [](size_t at) { return static_cast<Strategy>(at) == Strategy::twoHop ? 0.92 : 0.95; };
  for (size_t at = 0; at < 4; at++) EXPECT(found[at] >= least(at) * wanted[at]);
  const std::string path = fileOf(".sets");
  index.save(path);
  ShardIndex loaded(optionsOf(16, metric, 300, 0));
  loaded.load(path);
  EXPECT(loaded.stats().labels == static_cast<double>(all.size()));
  for (const auto& entry : all) EXPECT(loaded.idOf(loaded.labelOf(entry.first), id) && id == entry.first);
  unlink(path.c_str());
}

void testCompaction() {
  Data data(3, 8);
  ShardIndex index(optionsOf(8, Metric::euclidean, 1000, 64));
  for (int round = 0; round < 200; round++) fillIndex(index, data, 0, 50, round);
  EXPECT(index.stats().live == 50);
  EXPECT(index.stats().tombstones <= 257);
  EXPECT(index.versionOf("p7") == 199);
  const Vector query = data.next();
  EXPECT(index.exact(query.data(), 8, 50).ids.size() == 50);
}

/** Updates without end: a new graph of the living replaces the old one, and nothing is lost on the way. */
void testRebuild() {
  Data data(13, 16);
  ShardIndex index(optionsOf(16, Metric::euclidean, 200, 1200));
  fillIndex(index, data, 0, 1000, 1);
  while (index.link(1000) > 0) {
  }
  double most = 0;
  for (int round = 2; round < 12; round++) {
    for (int i = 0; i < 1000; i += 100) {
      fillIndex(index, data, i, i + 90, round);
      for (int gone = i; gone < i + 90; gone += 30) index.remove("p" + std::to_string(gone), round + 1);
      index.link(500);
      most = std::max(most, index.stats().tombstones);
    }
    // Some points change while the new graph is half built.
    for (int change = 0; index.link(300) > 0; change++) {
      const Vector v = data.next();
      if (change < 30) index.put("q" + std::to_string(change), round, v.data(), v.size());
      if (change % 4 == 3 && change < 30) index.remove("q" + std::to_string(change), round + 1);
      while (index.stats().unlinked > 0) index.link(300);
    }
    const Vector query = data.next();
    EXPECT(index.exact(query.data(), 16, 2000).ids.size() == static_cast<size_t>(index.stats().live));
  }
  EXPECT(most < 4000);
  EXPECT(index.stats().tombstones < 1000);
  EXPECT(index.stats().live >= 970);
  const Vector query = data.next();
  const Hits all = index.exact(query.data(), 16, 2000);
  EXPECT(std::set<std::string>(all.ids.begin(), all.ids.end()).size() == static_cast<size_t>(index.stats().live));
  for (const std::string& id : all.ids) {
    if (id[0] == 'q') continue;
    const int number = std::atoi(id.c_str() + 1);
    EXPECT(index.versionOf(id) == (number % 100 < 90 ? 11 : 1));
  }
  bool graph = false;
  EXPECT(recallOf(index, data, 10, 64, graph) >= 0.95);
  EXPECT(graph);
}

void testArguments() {
  ShardIndex index(optionsOf(2, Metric::dot, 100, 10));
  const Vector good = {1, 2}, nan = {1, NAN}, infinite = {INFINITY, 1}, absurd = {3e30f, 1}, wide = {1, 2, 3};
  EXPECT(codeOf([&] { index.put("a", 1, nan.data(), 2); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { index.put("a", 1, infinite.data(), 2); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { index.put("a", 1, absurd.data(), 2); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { index.put("a", 1, wide.data(), 3); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { index.put("a", -1, good.data(), 2); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { index.search(good.data(), 2, 0, 10); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { index.search(good.data(), 2, 1, 1u << 30); }) == "INVALID_ARGUMENT");
  EXPECT(codeOf([&] { ShardIndex(optionsOf(0, Metric::dot, 1, 1)); }) == "INVALID_ARGUMENT");
  EXPECT(index.search(good.data(), 2, 5, 10).ids.empty());
  index.destroy();
  EXPECT(codeOf([&] { index.search(good.data(), 2, 5, 10); }) == "FAILED_PRECONDITION");
}

void testAlone() {
  testChecksum();
  testKernels();
  testCodes();
  for (const Metric metric : {Metric::cosine, Metric::euclidean, Metric::dot}) testGraph(metric);
  for (const Metric metric : {Metric::cosine, Metric::euclidean, Metric::dot}) testSets(metric);
  testCompaction();
  testRebuild();
  testArguments();
}

}  // namespace

/** `core_test files` runs that part alone, for a sanitizer or a debugger. */
int main(int count, char** arguments) {
  const bool all = count < 2;
  const auto wants = [&](const char* part) { return all || std::string(arguments[1]) == part; };
  if (all) testAlone();
  if (wants("files")) testFiles();
  if (wants("growth")) testGrowth();
  if (wants("precision")) testPrecision();
  if (wants("concurrency")) testConcurrency();
  std::printf(failures == 0 ? "core: all tests passed\n" : "core: %d failures\n", failures.load());
  return failures == 0 ? 0 : 1;
}
