#include <unistd.h>

#include "support.h"

namespace vectron {
namespace {

constexpr int points = 2000;
constexpr int dimension = 64;

struct Recall {
  double graph = 0, scan = 0;
};

Recall recallsOf(ShardIndex& index, const std::vector<Vector>& queries) {
  const std::vector<uint32_t> words(points / 32 + 1, UINT32_MAX);
  const LabelSet all{words.data(), nullptr, words.size()};
  Recall recall;
  for (const Vector& query : queries) {
    const Hits exact = index.exact(query.data(), dimension, 10);
    const std::set<std::string> truth(exact.ids.begin(), exact.ids.end());
    Request request;
    request.query = query.data();
    request.length = dimension;
    request.k = 10;
    request.ef = 128;
    const Hits walked = index.search(request);
    EXPECT(walked.strategy == Strategy::graph);
    request.allowed = &all;
    request.strategy = Strategy::scan;
    for (const std::string& id : walked.ids) recall.graph += static_cast<double>(truth.count(id)) / 10;
    for (const std::string& id : index.search(request).ids) recall.scan += static_cast<double>(truth.count(id)) / 10;
  }
  recall.graph /= static_cast<double>(queries.size());
  recall.scan /= static_cast<double>(queries.size());
  return recall;
}

void linkAll(ShardIndex& index) {
  while (index.link(1000000) > 0) {
  }
}

/** One component far larger than the others, which 8 bits with one scale for all of them round away. */
void testUnequalComponents(Metric metric, float large, bool bothSigns) {
  Data data(3, dimension);
  Options options = optionsOf(dimension, metric, 100, 0);
  options.m = 16;
  options.efConstruction = 100;
  const auto next = [&] {
    Vector v = data.gaussian(1);
    v[0] = bothSigns && data.random() % 2 == 0 ? -large : large;
    return v;
  };
  ShardIndex index(options);
  for (int i = 0; i < points; i++) index.put("p" + std::to_string(i), 1, next().data(), dimension);
  linkAll(index);
  std::vector<Vector> queries(40);
  for (Vector& query : queries) query = next();
  const auto expectRecall = [&](ShardIndex& of) {
    const Recall recall = recallsOf(of, queries);
    EXPECT(recall.graph >= 0.95);
    EXPECT(recall.scan >= 0.99);
  };
  expectRecall(index);
  const std::string path = fileOf(".unequal");
  index.save(path);
  ShardIndex loaded(options);
  loaded.load(path);
  expectRecall(loaded);
  // It is known how its links were made: there is no reason to make them again.
  EXPECT(loaded.link(1) == 0);
  unlink(path.c_str());
}

/** Vectors that become unequal only once there is a graph: it is built anew. */
void testComponentsThatBecomeUnequal() {
  Data data(5, dimension);
  ShardIndex index(optionsOf(dimension, Metric::euclidean, 100, 0));
  fillIndex(index, data, 0, 300, 1);
  linkAll(index);
  for (int i = 0; i < points; i++) {
    Vector v = data.gaussian(1);
    v[0] = 3000;
    index.put("p" + std::to_string(i), 2, v.data(), dimension);
  }
  linkAll(index);
  std::vector<Vector> queries(40);
  for (Vector& query : queries) {
    query = data.gaussian(1);
    query[0] = 3000;
  }
  const Recall recall = recallsOf(index, queries);
  EXPECT(recall.graph >= 0.9);
  EXPECT(recall.scan >= 0.99);
}

}  // namespace

void testPrecision() {
  testUnequalComponents(Metric::euclidean, 1000, false);
  testUnequalComponents(Metric::euclidean, 1000, true);
  testUnequalComponents(Metric::cosine, 300, false);
  testComponentsThatBecomeUnequal();
}

}  // namespace vectron
