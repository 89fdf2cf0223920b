#pragma once
#include <faiss/IndexHNSW.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "codes.h"
#include "link_turns.h"
#include "mapped.h"
#include "options.h"
#include "vector_memory.h"

namespace vectron {

/** A slot of the graph that readers may read while the writer stores: either value is a valid neighbour. */
inline int32_t loadRelaxed(const int32_t* slot) { return __atomic_load_n(slot, __ATOMIC_RELAXED); }
inline void storeRelaxed(int32_t* slot, int32_t value) { __atomic_store_n(slot, value, __ATOMIC_RELAXED); }

/** Of a point that was dead when it was loaded. */
constexpr uint32_t noLabel = UINT32_MAX;

/** The arrays of a graph from a file, as FAISS lays them out. Offsets are one more than there are points. */
struct StoredGraph {
  std::vector<int32_t> levels;
  std::vector<uint64_t> offsets;
  std::vector<int32_t> neighbours;
};

/** Where a walk starts: a point of the highest level. `level` -1: there is no graph. */
struct Entry {
  int32_t point = -1;
  int32_t level = -1;
};

/**
 * All points of an index by offset, in the order they were put: the graph in the arrays of one faiss::IndexHNSWFlat over
 * empty storage, vectors, 8-bit codes, ids, versions and tombstones beside it. One writer, any number of linkers and readers.
 *
 *  1. Memory is reserved for `capacity` points, taken when it is written, and never moves: a reader's pointers stay valid
 *     while the object lives.
 *     Only the writer touches the sizes of FAISS's vectors.
 *  2. A point is written first and counted after (release); a reader takes the count first (acquire) and looks at no
 *     offset beyond it. Vectors, codes, ids, versions and levels never change afterwards.
 *  3. Points are linked in the order of their offsets (LinkTurns): [0, linked) is the graph, [linked, count) is not. A reader
 *     ignores neighbours beyond the `linked` it took, so that graph and tail together cover each point once.
 *  4. A label leads to the newest offset of its point, once that is counted, and to none when the point is removed.
 *  5. Where vectors are in memory, a copy of level 0 is what is walked and changed; FAISS's own slots of it are filled in a
 *     file only. Where they are in a file, memory is what counts, and FAISS's slots are all there are.
 *  6. Without quantisation there are no codes, and the squared length of each vector instead.
 *  7. Slots of the graph and words of the tombstones are single atomic stores; a list ends at its first -1.
 */
class Points {
 public:
  /** `labels`: how many labels there are already, beyond which none is given while there is room. */
  Points(const Options& options, uint64_t capacity, uint32_t labels);

  bool full() const;
  /** Labels below this can be used. */
  uint64_t labelCapacity() const { return rowMemory_.size(); }
  uint64_t capacity() const { return capacity_; }

  /** Writer. `vector` is ready to store (normalised for cosine). Returns the new offset. `levels` 0 draws one. */
  int32_t append(const float* vector, std::string_view id, int64_t version, uint32_t label, int levels = 0);
  void kill(int32_t offset);
  /** No point has this label from now on. */
  void unlabel(uint32_t label) { __atomic_store_n(&labelled_[label], 0, __ATOMIC_RELEASE); }
  /** For LinkTurns. */
  void publishLink(int32_t offset);
  /** Copies points with their links into an empty object; there must be room. Same offsets. */
  void copyFrom(const Points& other);
  /** The same for the first `count`, while a writer appends to the other; nobody may link there. */
  void copyFirst(const Points& other, int32_t count);
  /** Afterwards, without a writer: what was appended since, labels and tombstones. */
  void copyRest(const Points& other);
  /**
   * Into an empty object, for which nothing else is called before countAdopted(): the graph of a file, whose arrays were
   * checked, and its vectors, `vectorsAt` in it: a whole number of pages, or else they are copied.
   */
  void adoptGraph(const StoredGraph& graph);
  void adoptVectors(int file, uint64_t vectorsAt, int32_t count);
  /** Codes of a range of adopted vectors. Any number of threads, each its own range. Returns the greatest squared length. */
  float encode(int32_t from, int32_t to);
  void adoptPoint(int32_t offset, std::string_view id, int64_t version, uint32_t label);
  void countAdopted(int32_t count, int32_t linked, int32_t entryPoint, float longest);
  /** The first `count` rows are in a file from now on, and need no memory. Beside readers and a writer. */
  void moveVectors(int file, uint64_t vectorsAt, int32_t count);
  /** Whether walks measure vectors, as 8 bits would mislead them (misleads()), and whether all links were made so. */
  bool measuresVectors() const { return __atomic_load_n(&measuresVectors_, __ATOMIC_RELAXED); }
  bool linkedByVectors() const { return linkedByVectors_; }
  /** How many points there were when that was last looked at. */
  int32_t judged() const { return __atomic_load_n(&judged_, __ATOMIC_RELAXED); }
  /** Alone under the lock that linkers share. Links there are stay as they were made. */
  void judge(int32_t count, bool measuresVectors);
  void judgeLike(const Points& other);
  /** Adopted: how links were made, and whether codes mislead. */
  void adoptLinks(bool byVectors, bool measuresVectors);
  const faiss::HNSW& hnsw() const { return index_.hnsw; }
  const Mapped<uint64_t>& tombstones() const { return tombstoneMemory_; }

  int32_t count() const { return __atomic_load_n(&count_, __ATOMIC_ACQUIRE); }
  int32_t linked() const { return __atomic_load_n(&linked_, __ATOMIC_ACQUIRE); }
  int32_t dead() const { return __atomic_load_n(&dead_, __ATOMIC_RELAXED); }
  Entry entry() const;
  size_t bytes() const;

  const float* vector(int32_t i) const { return vectors_ + static_cast<size_t>(i) * dimension_; }
  const RowSums& sums(int32_t i) const { return rows().sumsOf(i); }
  bool quantised() const { return quantised_; }
  /** Squared, of each vector; only without quantisation. */
  const float* lengths() const { return lengths_; }
  bool isDead(int32_t i) const {
    return (__atomic_load_n(&tombstones_[i >> 6], __ATOMIC_RELAXED) >> (i & 63)) & 1;
  }
  std::string_view id(int32_t i) const { return ids_[i]; }
  int64_t version(int32_t i) const { return versions_[i]; }
  /** A dead point's label may have become another's. */
  uint32_t label(int32_t i) const { return labels_[i]; }
  /** The offset of the point that has the label, or -1; it may be beyond a count taken before. */
  int32_t rowOf(uint32_t label) const { return __atomic_load_n(&labelled_[label], __ATOMIC_ACQUIRE) - 1; }
  /** The largest squared length of all vectors. */
  float longest() const {
    float value;
    __atomic_load(&longest_, &value, __ATOMIC_RELAXED);
    return value;
  }
  /** The highest level the point is on. */
  int32_t level(int32_t i) const { return levels_[i] - 1; }
  int32_t* list(int32_t i, int32_t level) const {
    if (level == 0 && ground_ != nullptr) return ground_ + static_cast<size_t>(i) * static_cast<size_t>(2 * m_);
    return lists_ + offsets_[i] + levelStart_[level];
  }
  void fetchGround(int32_t i) const {
    const int32_t* const slots = list(i, 0);
    for (int32_t j = 0; j < 2 * m_; j += 16) __builtin_prefetch(slots + j);
  }
  CodeRows rows() const { return CodeRows(shape, codes_, sums_); }
  /** Slots of a list on this level. */
  int32_t slots(int32_t level) const { return level == 0 ? 2 * m_ : m_; }

  const CodeShape shape;
  LinkTurns turns;

 private:
  void bind();
  /** The code, or the length, of a vector that is in place. Returns its squared length. */
  float measure(int32_t offset);
  /** The same, id and version of a point. */
  void note(int32_t offset, std::string_view id, int64_t version, uint32_t label);

  void adviseHuge();
  size_t rowBytes() const { return dimension_ * sizeof(float); }

  const uint32_t dimension_;
  const int32_t m_;
  const bool quantised_;
  const uint64_t capacity_;
  faiss::IndexHNSWFlat index_;
  VectorMemory vectorMemory_;
  Mapped<uint8_t> codeMemory_;
  Mapped<RowSums> sumsMemory_;
  Mapped<float> lengthMemory_;
  /**
   * The lists of level 0, which FAISS keeps between the others: here one multiplication finds them, and a walk reads whole
   * lines. Empty where vectors are in a file.
   */
  Mapped<int32_t> groundMemory_;
  Mapped<std::string_view> idMemory_;
  Mapped<int64_t> versionMemory_;
  Mapped<uint64_t> tombstoneMemory_;
  Mapped<uint32_t> labelMemory_;
  /** For each label the offset and one; 0: none. */
  Mapped<int32_t> rowMemory_;

  float* vectors_ = nullptr;
  uint8_t* codes_ = nullptr;
  RowSums* sums_ = nullptr;
  float* lengths_ = nullptr;
  int32_t* lists_ = nullptr;
  int32_t* ground_ = nullptr;
  const size_t* offsets_ = nullptr;
  const int* levels_ = nullptr;
  std::string_view* ids_ = nullptr;
  int64_t* versions_ = nullptr;
  uint64_t* tombstones_ = nullptr;
  uint32_t* labels_ = nullptr;
  int32_t* labelled_ = nullptr;
  int32_t levelStart_[64] = {};

  float longest_ = 0;
  bool measuresVectors_ = false;
  bool linkedByVectors_ = false;
  int32_t judged_ = 0;
  int32_t count_ = 0;
  int32_t linked_ = 0;
  int32_t dead_ = 0;
  /** Entry in one word: level above, point below. */
  int64_t entry_ = -1;
};

}  // namespace vectron
