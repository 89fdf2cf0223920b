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

}  // namespace

void testGrowth() {
  testLabelsOfARebuild();
}

}  // namespace vectron
