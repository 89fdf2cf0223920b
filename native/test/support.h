#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../core/failure.h"
#include "../core/registry.h"

/** What the core's own tests share: no framework, so that sanitizers see nothing else. */
namespace vectron {

/** Of the whole program. */
inline std::atomic<int> failures{0};

#define EXPECT(condition)                                                         \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::printf("%s:%d: expected %s\n", __FILE__, __LINE__, #condition);        \
      failures++;                                                                 \
    }                                                                             \
  } while (false)

template <typename Body>
std::string codeOf(Body body) {
  try {
    body();
  } catch (const Failure& failure) {
    return failure.code;
  }
  return "";
}

using Vector = std::vector<float>;

/** Vectors around a few centres: what graphs find hardest is clusters. */
struct Data {
  explicit Data(uint32_t seed, size_t dimension) : random(seed), dimension(dimension) {
    for (int i = 0; i < 12; i++) centres.push_back(gaussian(1));
  }
  Vector gaussian(float width) {
    std::normal_distribution<float> normal(0, width);
    Vector v(dimension);
    for (float& x : v) x = normal(random);
    return v;
  }
  Vector next() {
    Vector v = gaussian(0.3f);
    const Vector& centre = centres[random() % centres.size()];
    for (size_t i = 0; i < dimension; i++) v[i] += centre[i];
    return v;
  }
  std::mt19937 random;
  size_t dimension;
  std::vector<Vector> centres;
};

inline Options optionsOf(uint32_t dimension, Metric metric, uint64_t threshold, uint64_t capacity) {
  Options options;
  options.dimension = dimension;
  options.metric = metric;
  options.m = 8;
  options.efConstruction = 60;
  options.capacity = capacity;
  options.threshold = threshold;
  return options;
}

inline std::string fileOf(const char* name) {
  const char* folder = std::getenv("TMPDIR");
  return std::string(folder == nullptr ? "/tmp" : folder) + "/vectron-core-" + std::to_string(getpid()) + name;
}

inline double recallOf(ShardIndex& index, Data& data, uint32_t k, uint32_t ef, bool& graph) {
  size_t found = 0, wanted = 0;
  for (int i = 0; i < 50; i++) {
    const Vector query = data.next();
    const Hits exact = index.exact(query.data(), query.size(), k);
    const Hits hits = index.search(query.data(), query.size(), k, ef);
    graph = hits.strategy == Strategy::graph;
    EXPECT(hits.ids.size() == exact.ids.size());
    const std::set<std::string> truth(exact.ids.begin(), exact.ids.end());
    for (const std::string& id : hits.ids) found += truth.count(id);
    wanted += truth.size();
  }
  return static_cast<double>(found) / static_cast<double>(wanted);
}

inline void fillIndex(ShardIndex& index, Data& data, int from, int to, int64_t version) {
  for (int i = from; i < to; i++) {
    const Vector v = data.next();
    index.put("p" + std::to_string(i), version, v.data(), v.size());
  }
}

/** In files_test.cc: what is written, read, refused, and mapped. */
void testFiles();

/** In growth_test.cc: how memory grows and is given back, and what is told of it. */
void testGrowth();

/** In precision_test.cc: vectors of which 8 bits a component say little. */
void testPrecision();

/** In concurrent_test.cc: readers, writers and builders of one index at once. */
void testConcurrency();

}  // namespace vectron
