#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <thread>

#include "../core/checksum.h"
#include "../core/graph_file.h"
#include "../core/savers.h"
#include "support.h"

namespace vectron {
namespace {

std::vector<uint8_t> bytesOf(const std::string& path) {
  std::vector<uint8_t> bytes(16 << 20);
  FILE* const file = std::fopen(path.c_str(), "rb");
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
  std::fclose(file);
  return bytes;
}

void write(const std::string& path, const std::vector<uint8_t>& bytes) {
  FILE* const file = std::fopen(path.c_str(), "wb");
  if (!bytes.empty()) std::fwrite(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
}

/** The same file as programs before the second format wrote it. */
std::vector<uint8_t> inFormat1(const std::vector<uint8_t>& file) {
  const auto number = [&](size_t at) {
    uint64_t value;
    std::memcpy(&value, file.data() + at, sizeof value);
    return value;
  };
  const uint64_t faissBytes = number(56), ownBytes = number(64), faissAt = number(72);
  std::vector<uint8_t> out(file.begin(), file.begin() + 72);
  out[8] = 1;
  const auto seal = [&](const uint8_t* from, size_t length) {
    Checksum checksum;
    checksum.feed(from, length);
    const uint64_t value = checksum.value();
    const auto* const bytes = reinterpret_cast<const uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
  };
  seal(file.data() + faissAt, faissBytes + ownBytes);
  seal(out.data(), out.size());
  out.insert(out.end(), file.begin() + static_cast<ptrdiff_t>(faissAt), file.end());
  return out;
}

Options onDisk(Options options) {
  const char* folder = std::getenv("TMPDIR");
  options.folder = folder == nullptr ? "/tmp" : folder;
  return options;
}

/** The FAISS part of our file is a FAISS file: FAISS itself reads it and finds the neighbours. */
void testFaissReadsOurFile(Metric metric) {
  Data data(5, 24);
  ShardIndex index(optionsOf(24, metric, 100, 2000));
  fillIndex(index, data, 0, 2000, 1);
  while (index.link(10000) > 0) {
  }
  index.setAppliedIndex(77);
  const std::string path = fileOf(".graph"), extracted = fileOf(".faiss");
  index.save(path);
  GraphFile::extractFaiss(path, extracted);
  const std::unique_ptr<faiss::Index> read(faiss::read_index(extracted.c_str()));
  const std::string rewritten = fileOf(".rewritten");
  faiss::write_index(read.get(), rewritten.c_str());
  EXPECT(bytesOf(rewritten) == bytesOf(extracted));
  unlink(rewritten.c_str());
  auto* const hnsw = dynamic_cast<faiss::IndexHNSWFlat*>(read.get());
  EXPECT(hnsw != nullptr && hnsw->ntotal == 2000);
  hnsw->hnsw.efSearch = 100;
  ShardIndex loaded(optionsOf(24, metric, 100, 0));
  loaded.load(path);
  EXPECT(loaded.appliedIndex() == 77);
  EXPECT(loaded.stats().live == 2000 && loaded.stats().unlinked == 0);
  size_t same = 0;
  for (int i = 0; i < 50; i++) {
    Vector query = data.next();
    const Hits ours = index.search(query.data(), 24, 10, 100);
    const Hits again = loaded.search(query.data(), 24, 10, 100);
    EXPECT(ours.ids == again.ids && again.strategy == Strategy::graph);
    std::vector<float> distances(10);
    std::vector<faiss::Index::idx_t> labels(10);
    hnsw->search(1, query.data(), 10, distances.data(), labels.data());
    const std::set<std::string> found(ours.ids.begin(), ours.ids.end());
    for (const auto label : labels) same += found.count("p" + std::to_string(label));
  }
  EXPECT(same >= 490);
  unlink(path.c_str());
  unlink(extracted.c_str());
}

void testDamagedFiles() {
  Data data(9, 6);
  const Options options = optionsOf(6, Metric::cosine, 20, 0);
  ShardIndex index(options);
  fillIndex(index, data, 0, 60, 1);
  index.link(1000000);
  const std::string path = fileOf(".damaged");
  index.save(path);
  std::vector<uint8_t> bytes = bytesOf(path);
  const auto refuses = [&](const std::vector<uint8_t>& content) {
    write(path, content);
    ShardIndex fresh(options);
    return codeOf([&] { fresh.load(path); }) == "CORRUPT" && fresh.stats().live == 0;
  };
  EXPECT(!refuses(bytes));
  for (size_t at = 0; at < bytes.size(); at += 1 + at / 64) {
    std::vector<uint8_t> damaged = bytes;
    damaged[at] ^= static_cast<uint8_t>(1u << (at % 8));
    EXPECT(refuses(damaged));
  }
  for (const size_t length : {size_t{0}, size_t{50}, size_t{88}, bytes.size() / 2, bytes.size() - 1})
    EXPECT(refuses(std::vector<uint8_t>(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length))));
  bytes.push_back(0);
  EXPECT(refuses(bytes));
  bytes.pop_back();
  // What was written by the first format is read, and refused when it is damaged.
  std::vector<uint8_t> first = inFormat1(bytes);
  EXPECT(!refuses(first));
  first[first.size() / 2] ^= 4;
  EXPECT(refuses(first));
  unlink(path.c_str());
}

/** Every hit of both, and its score. */
void expectSame(ShardIndex& a, ShardIndex& b, Data& data, size_t live) {
  const auto most = static_cast<uint32_t>(live + 10);
  for (int i = 0; i < 5; i++) {
    const Vector query = data.next();
    const Hits one = a.exact(query.data(), query.size(), most), other = b.exact(query.data(), query.size(), most);
    EXPECT(one.ids == other.ids && one.scores == other.scores && one.ids.size() == live);
    const Hits walked = b.search(query.data(), query.size(), 10, 80);
    EXPECT(walked.ids.size() == std::min<size_t>(10, live));
  }
}

/**
 * Vectors in a file: as if they were in memory, whether they are in the nameless file, in the graph file they were saved to,
 * or in the one they were loaded from; through growth, rebuilds, saves upon saves, and a file of vectors in memory.
 */
void testVectorsOnDisk(Metric metric) {
  Data data(19, 40), same(19, 40), queries(20, 40);
  Options options = optionsOf(40, metric, 200, 700);
  const std::string path = fileOf(".ondisk"), other = fileOf(".inmemory");
  auto disk = std::make_unique<ShardIndex>(onDisk(options));
  auto memory = std::make_unique<ShardIndex>(options);
  const auto both = [&](auto change) {
    change(*disk, data);
    change(*memory, same);
  };
  for (int round = 1; round <= 6; round++) {
    both([&](ShardIndex& index, Data& from) {
      fillIndex(index, from, 200 * (round - 1), 200 * round + 300, round * 10);
      for (int i = 0; i < 200 * round; i += 3) index.remove("p" + std::to_string(i), round * 10 + 1);
      while (index.link(1000) > 0) {
      }
      index.setAppliedIndex(round);
    });
    const auto live = static_cast<size_t>(memory->stats().live);
    expectSame(*memory, *disk, queries, live);
    disk->save(path);
    memory->save(other);
    expectSame(*memory, *disk, queries, live);
    if (round == 5) EXPECT(disk->stats().bytes < 0.8 * memory->stats().bytes);
    // From one start to the next the setting may have changed.
    if (round % 2 == 0) {
      disk = std::make_unique<ShardIndex>(onDisk(options));
      disk->load(round == 4 ? other : path);
      EXPECT(disk->appliedIndex() == round);
      expectSame(*memory, *disk, queries, live);
    }
  }
  bool graph = false;
  EXPECT(recallOf(*disk, data, 10, 80, graph) >= 0.95);
  EXPECT(graph);
  ShardIndex back(options);
  back.load(path);
  expectSame(*memory, back, queries, static_cast<size_t>(memory->stats().live));
  unlink(path.c_str());
  unlink(other.c_str());
}

void testNoFolder() {
  Options options = optionsOf(4, Metric::dot, 10, 10);
  options.folder = fileOf(".nowhere");
  EXPECT(codeOf([&] { ShardIndex index(options); }) == "INTERNAL");
}

/** One change of a journal; a removal if there is no vector. */
struct Written {
  std::string id;
  Vector vector;
};

void offer(ShardIndex& index, const Written& change, int64_t version) {
  if (change.vector.empty()) index.remove(change.id, version);
  else index.put(change.id, version, change.vector.data(), change.vector.size());
}

/** Files written beside a writer, a linker and searches: each, with what its stamp lacks, makes the same index. */
void testSavesBesideAWriter(bool disk) {
  Data data(23, 16);
  const Options options = optionsOf(16, Metric::euclidean, 100, 300);
  const std::string key = disk ? "saved-disk" : "saved";
  const auto index = Registry::instance().open(key, disk ? onDisk(options) : options, "");
  std::vector<Written> journal;
  for (int i = 0; i < 5000; i++) {
    const std::string id = "p" + std::to_string(data.random() % 1500);
    journal.push_back({id, data.random() % 5 == 0 ? Vector() : data.next()});
  }
  std::atomic<bool> done{false};
  std::atomic<int> saves{0};
  std::thread reader([&] {
    Data mine(300, 16);
    while (!done) {
      const Vector query = mine.next();
      const Hits hits = index->search(query.data(), query.size(), 10, 20);
      EXPECT(std::set<std::string>(hits.ids.begin(), hits.ids.end()).size() == hits.ids.size());
    }
  });
  std::thread linker([&] {
    while (!done) index->link(500);
  });
  std::thread writer([&] {
    for (size_t i = 0; i < journal.size(); i++) {
      offer(*index, journal[i], static_cast<int64_t>(i));
      index->setAppliedIndex(static_cast<double>(i));
      // Some files are of the middle, however slow the disk is.
      while (saves < static_cast<int>(i / 1000)) std::this_thread::yield();
    }
    done = true;
  });
  const std::string path = fileOf(disk ? ".besidedisk" : ".beside");
  std::vector<double> stamps;
  std::vector<std::string> files;
  while (!done) {
    Savers::instance().save(index, path);
    Saved saved;
    while (!(saved = index->takeSaved()).done) std::this_thread::yield();
    EXPECT(saved.failure.empty());
    stamps.push_back(saved.appliedIndex);
    files.push_back(path + std::to_string(files.size()));
    EXPECT(link(path.c_str(), files.back().c_str()) == 0);
    saves++;
  }
  for (std::thread* thread : {&reader, &linker, &writer}) thread->join();
  while (index->link(10000) > 0) {
  }
  EXPECT(files.size() >= 4);
  Data queries(301, 16);
  for (size_t f = 0; f < files.size(); f++) {
    if (f % (1 + files.size() / 8) == 0) {
      ShardIndex loaded(options);
      loaded.load(files[f]);
      EXPECT(loaded.appliedIndex() == stamps[f]);
      for (size_t i = static_cast<size_t>(stamps[f]) + 1; i < journal.size(); i++)
        offer(loaded, journal[i], static_cast<int64_t>(i));
      while (loaded.link(10000) > 0) {
      }
      expectSame(*index, loaded, queries, static_cast<size_t>(index->stats().live));
      bool graph = false;
      EXPECT(recallOf(loaded, data, 10, 64, graph) >= 0.95);
    }
    unlink(files[f].c_str());
  }
  unlink(path.c_str());
  Registry::instance().drop(key);
}

/** An index that is destroyed while its file is written leaves none, and one that is there already as it is. */
void testDestroyedWhileSaving() {
  Data data(29, 64);
  const std::string path = fileOf(".gone");
  for (int round = 0; round < 20; round++) {
    const auto index = Registry::instance().open("gone", optionsOf(64, Metric::euclidean, 100, 4000), "");
    fillIndex(*index, data, 0, 2000, 1);
    Savers::instance().save(index, path);
    if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
    Registry::instance().drop("gone");
    const bool there = access(path.c_str(), F_OK) == 0;
    Saved saved;
    while (!(saved = index->takeSaved()).done) std::this_thread::yield();
    EXPECT(there == (access(path.c_str(), F_OK) == 0));
    EXPECT(there == saved.failure.empty());
    EXPECT(access((path + ".new").c_str(), F_OK) != 0);
    unlink(path.c_str());
  }
}

}  // namespace

void testFiles() {
  testFaissReadsOurFile(Metric::euclidean);
  testFaissReadsOurFile(Metric::dot);
  testDamagedFiles();
  for (const Metric metric : {Metric::cosine, Metric::euclidean, Metric::dot}) testVectorsOnDisk(metric);
  testNoFolder();
  testSavesBesideAWriter(false);
  testSavesBesideAWriter(true);
  testDestroyedWhileSaving();
}

}  // namespace vectron
