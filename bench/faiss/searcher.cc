#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

/**
 * FAISS as packaged, over the graph that our insertion made and exported as index.faiss: what its own search makes of it.
 * Arguments and protocol are those of bench/hnswlib/searcher.cc.
 */
namespace {

template <typename T>
std::vector<T> read(const std::string& path, size_t count) {
  std::vector<T> values(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
  if (!file) std::exit((std::fprintf(stderr, "cannot read %s\n", path.c_str()), 1));
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) return 2;
  const std::string folder = argv[1];
  const size_t points = std::stoul(argv[3]), queries = std::stoul(argv[4]), dimension = std::stoul(argv[5]);
  const size_t k = std::stoul(argv[6]);
  omp_set_num_threads(1);
  const auto query = read<float>(folder + "/queries.f32", queries * dimension);
  const std::unique_ptr<faiss::Index> index(faiss::read_index((folder + "/index.faiss").c_str()));
  auto& graph = dynamic_cast<faiss::IndexHNSW&>(*index);
  const size_t bytes = points * dimension * sizeof(float) + graph.hnsw.neighbors.size() * sizeof(int) + points * 12;
  std::printf("{\"buildMicros\":0,\"bytes\":%.0f}\n", static_cast<double>(bytes) / static_cast<double>(points));
  std::fflush(stdout);
  const auto truth = read<int32_t>(folder + "/truth.i32", queries * k);
  std::vector<float> distances(queries * k);
  std::vector<int64_t> labels(queries * k);
  for (int ef = 0; std::cin >> ef;) {
    graph.hnsw.efSearch = ef;
    const auto start = std::chrono::steady_clock::now();
    for (size_t q = 0; q < queries; q++)
      index->search(1, query.data() + q * dimension, static_cast<int64_t>(k), &distances[q * k], &labels[q * k]);
    const double micros = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    size_t hits = 0;
    for (size_t q = 0; q < queries; q++)
      for (size_t i = 0; i < k; i++)
        hits += static_cast<size_t>(std::count(&truth[q * k], &truth[q * k] + k, static_cast<int32_t>(labels[q * k + i])));
    std::printf("{\"micros\":%.3f,\"recall\":%.5f}\n", micros / static_cast<double>(queries),
                static_cast<double>(hits) / static_cast<double>(queries * k));
    std::fflush(stdout);
  }
  return 0;
}
