#include <hnswlib/hnswlib.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

/**
 * The yardstick: hnswlib as its users build it. Arguments: folder, metric, points, queries, dimension, k, m, efConstruction.
 * Builds from the folder's float32 files, says so in one line of JSON, then answers each line `ef` on its input with one
 * line of JSON: microseconds and recall a query. The same protocol as bench/ann/searcher.ts.
 */
namespace {

template <typename T>
std::vector<T> read(const std::string& path, size_t count) {
  std::vector<T> values(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(1);
  }
  return values;
}

double microsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) return 2;
  const std::string folder = argv[1];
  const bool cosine = std::string(argv[2]) == "cosine";
  argv++;
  const size_t points = std::stoul(argv[2]), queries = std::stoul(argv[3]), dimension = std::stoul(argv[4]);
  const size_t k = std::stoul(argv[5]), m = std::stoul(argv[6]), efConstruction = std::stoul(argv[7]);
  const auto base = read<float>(folder + "/base.f32", points * dimension);
  const auto query = read<float>(folder + "/queries.f32", queries * dimension);
  const std::unique_ptr<hnswlib::SpaceInterface<float>> space =
      cosine ? std::unique_ptr<hnswlib::SpaceInterface<float>>(new hnswlib::InnerProductSpace(dimension))
             : std::unique_ptr<hnswlib::SpaceInterface<float>>(new hnswlib::L2Space(dimension));
  hnswlib::HierarchicalNSW<float> graph(space.get(), points, m, efConstruction);
  auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < points; i++) graph.addPoint(base.data() + i * dimension, i);
  const double buildMicros = microsSince(start) / static_cast<double>(points);
  // Upper levels: one list of m ids and its length for each point and level.
  size_t upper = 0;
  for (size_t i = 0; i < points; i++) upper += static_cast<size_t>(graph.element_levels_[i]) * graph.size_links_per_element_;
  const double bytes = static_cast<double>(graph.size_data_per_element_) + static_cast<double>(upper) / points + 8;
  std::printf("{\"buildMicros\":%.1f,\"bytes\":%.0f}\n", buildMicros, bytes);
  std::fflush(stdout);
  std::vector<int32_t> truth;
  std::vector<std::vector<size_t>> found(queries);
  size_t ef = 0;
  while (std::cin >> ef) {
    if (truth.empty()) truth = read<int32_t>(folder + "/truth.i32", queries * k);
    graph.setEf(ef);
    start = std::chrono::steady_clock::now();
    for (size_t q = 0; q < queries; q++) {
      auto nearest = graph.searchKnn(query.data() + q * dimension, k);
      found[q].clear();
      for (; !nearest.empty(); nearest.pop()) found[q].push_back(nearest.top().second);
    }
    const double micros = microsSince(start) / static_cast<double>(queries);
    size_t hits = 0;
    for (size_t q = 0; q < queries; q++) {
      const std::set<size_t> wanted(truth.begin() + static_cast<ptrdiff_t>(q * k), truth.begin() + static_cast<ptrdiff_t>((q + 1) * k));
      for (const size_t id : found[q]) hits += wanted.count(id);
    }
    std::printf("{\"micros\":%.3f,\"recall\":%.5f}\n", micros, static_cast<double>(hits) / static_cast<double>(queries * k));
    std::fflush(stdout);
  }
  return 0;
}
