#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "linker.h"
#include "options.h"
#include "points.h"
#include "read_write_lock.h"
#include "recall_monitor.h"
#include "search.h"

namespace vectron {

/** Points that memory is reserved for at least. */
constexpr uint64_t capacityLeast = 64;

struct Stats {
  double live, unlinked, tombstones, bytes, labels;
  /** Of the nearest points of searches that were answered again exactly, and how many of them had been found. */
  double recallExpected, recallFound;
};

/** An index at one moment, kept while it goes on: what its file is written from. */
struct Moment {
  std::shared_ptr<Points> points;
  /** Holds the texts of all ids there were: their owner may be destroyed meanwhile. */
  std::shared_ptr<const std::deque<std::string>> idTexts;
  size_t idCount = 0;
  double appliedIndex = 0;
  int32_t count = 0;
  int32_t linked = 0;
  Entry entry;
  std::vector<uint64_t> tombstones;

  bool wasDead(int32_t i) const { return (tombstones[static_cast<size_t>(i >> 6)] >> (i & 63)) & 1; }
};

/** How the writing of a file went that was asked for. */
struct Saved {
  bool done = false;
  /** If it is written. */
  double appliedIndex = 0;
  /** Why not; empty if it is. */
  std::string failure;
};

/**
 * One replica's vectors, their ids and their graph. Any thread may call anything.
 *
 *  1. Changes (put, remove, link, destroy) go one at a time: `writing_`. A search never waits for one, except
 *     while the memory is swapped for a larger or smaller copy: a pointer's assignment under `swapping_`.
 *  2. An id's newest version wins, whatever the order of arrival; a removal is remembered with its version.
 *  3. search() returns min(k, live) hits at least, or with a set min(k, live points of it): what the walk and the tail
 *     lack, a scan finds.
 *  4. Every argument is checked before FAISS or a kernel sees it. Everything thrown is a Failure or std::bad_alloc.
 *  5. A live point keeps its label through all versions, growth and rebuilds; a removal frees it for the next new point.
 *  6. Once tombstones are two fifths of a graph, link() also builds a graph of the living beside it, in its slices, and
 *     swaps it in when it has them all. Both are in memory meanwhile.
 *  7. Linking has a lock of its own, so that puts and removes wait for it only when memory is full: linkers read what
 *     appends never change. They share linking_, any number at a time; whoever replaces the points, or wants lists to
 *     stand still, holds it alone.
 *  8. save() keeps linkers waiting while it writes the lists, and a change for the blink of an eye (GraphFile).
 *
 * Order of locks: saving_ before linking_ before writing_ before swapping_.
 */
class ShardIndex {
 public:
  explicit ShardIndex(const Options& options);

  const Options& options() const { return options_; }

  /** The point's label, or noLabel if a newer removal is remembered. */
  uint32_t put(std::string_view id, int64_t version, const float* vector, size_t length);
  /** The label this freed, or noLabel. */
  uint32_t remove(std::string_view id, int64_t version);
  /** The label of a live point, or noLabel. */
  uint32_t labelOf(std::string_view id);
  /** False if no live point has the label. */
  bool idOf(uint32_t label, std::string& id);
  /** -1 when the id was never seen. */
  int64_t versionOf(std::string_view id);
  /** Links for about this long, beside others that do; returns how many are left to do, those of a rebuild included. */
  uint64_t link(uint64_t budgetMicros);
  /** Whether another thread that links would find something to do for a while. */
  bool sharesLinking();
  /** These are 0 once destroyed. */
  uint64_t unlinkedCount();
  double bytesNow();
  /** Answers a search that was kept again, exactly. Long work, for builders. */
  void auditRecall();
  /** For Builders: whether one has this index in hand or in line, and how many others help it. */
  std::atomic<bool> inLine{false};
  std::atomic<unsigned> helpers{0};
  Hits search(const Request& request);
  Hits search(const float* query, size_t length, uint32_t k, uint32_t ef);
  Hits exact(const float* query, size_t length, uint32_t k);
  /** Returns the applied index of the file. */
  double save(const std::string& path);
  /** For whoever saves in the background (Savers): false if it is asked for already. */
  bool beginSave();
  void endSave(const Saved& saved);
  /** What endSave() was told, once. */
  Saved takeSaved();
  /** Fills a new index, before anybody else uses it. Throws NOT_FOUND or CORRUPT and leaves it empty. */
  void load(const std::string& path);
  /** Between these two the index is loading, and only destroy() may be called beside isLoading() and whenLoaded(). */
  void beginLoad() { loading_ = true; }
  /** `refused`: why the file was not used; empty when it was, or there was none. */
  void endLoad(const std::string& refused);
  bool isLoading() const { return loading_; }
  /** Waits for the end of loading. */
  void whenLoaded();
  /** What endLoad() was told; only after it. */
  const std::string& refused() const { return refused_; }
  void destroy();

  Stats stats();
  double appliedIndex() const { return appliedIndex_.load(); }
  void setAppliedIndex(double value);

 private:
  friend class GraphFile;
  /** Without a label: removed. Otherwise the label leads to the point's newest row (Points, invariant 4). */
  struct Held {
    int64_t version;
    uint32_t label;
  };
  /** Memory that was replaced. It is given back by whoever has it, after the locks: that takes a while. */
  using Retired = std::shared_ptr<Points>;

  /** The entry of an id, made if need be: version -1, no offset. Its key lives as long as the index. */
  std::pair<const std::string_view, Held>& entryOf(std::string_view id);
  /** The points, or FAILED_PRECONDITION once destroyed. Under either lock. */
  Points& live() const;
  void prepare(const char* field, const float* vector, size_t length, std::vector<float>& out) const;
  uint32_t place(std::string_view key, Held& held, int64_t version);
  bool lacksRoom() const;
  Retired makeRoom();
  bool wantsGrowth() const;
  Retired growBeside();
  Retired enlargeRebuild();
  void kill(int32_t offset);
  std::unique_ptr<Points> larger(const Points& points) const;
  bool wantsRebuild() const;
  bool wantsJudgement() const;
  bool wantsUpkeep() const;
  Retired upkeep();
  void linkShared(LinkTurns::Time until);
  bool rebuildOne(LinkTurns::Time until);
  bool lacksRoomToRebuild() const;
  bool isRebuilt() const;
  Retired finishRebuild();
  void dropLabels(uint64_t end);
  uint64_t leftToLink() const;
  uint32_t takeLabel();
  /** Removes what is held, if this is newer. The label it freed, or noLabel. */
  uint32_t forget(Held& held, int64_t version);
  /** Alone under linking_, so that lists are those of the moment as long as it is held. */
  Moment momentNow();
  /** Of ids [from, to) those that are removed now, with the removals' versions. */
  std::vector<std::pair<std::string_view, int64_t>> removalsOf(const Moment& moment, size_t from, size_t to);
  /** Under writing_, so that destroy() comes before or after. */
  template <typename Body>
  void unlessDestroyed(Body body) {
    const std::lock_guard<std::mutex> lock(writing_);
    live();
    body();
  }
  [[nodiscard]] Retired swap(std::shared_ptr<Points> next);
  /** The points without a lock, for their figures. Null once destroyed. */
  std::shared_ptr<Points> shown() const { return std::atomic_load(&shown_); }
  double bytesOf(const Points& points) const;
  std::unique_ptr<Points> compacted(uint64_t capacity);
  bool wantsGraph(const Points& points) const;
  bool usesGraph(const Points& points) const;
  uint64_t unlinked(const Points& points) const;
  void answer(const Points& points, const std::vector<float>& query, const Request& request, Hits& hits) const;
  void dropOlder(const Points& points, std::vector<Candidate>& found) const;
  bool isShort(const Request& request, const Hits& hits) const;
  void keepForAudit(const Request& request, int32_t count, int32_t dead, const Hits& hits);

  const Options options_;
  const Kernels& kernels_;
  std::mutex saving_;
  ReadWriteLock linking_;
  std::mutex writing_;
  ReadWriteLock swapping_;
  /** Written under linking_, writing_ and swapping_; read under any of them. Null once destroyed. */
  std::shared_ptr<Points> points_;
  /** The same, by atomic functions, and how often they were replaced, which grows first. */
  std::shared_ptr<Points> shown_;
  std::atomic<uint64_t> generation_{0};
  /** What is being copied or built to replace the points. */
  std::atomic<size_t> besideBytes_{0};
  const Linker linker_;
  /** Changed under writing_ and linking_, which may be shared for all but `next`. The graph of the living while it is being built; empty otherwise. */
  struct Rebuild {
    std::unique_ptr<Points> next;
    /** Points from here on are not in `next` yet. */
    int32_t from = 0;
    /** For each offset before `from` the one in `next`, or -1. */
    std::vector<int32_t> moved;
  } rebuild_;
  std::shared_ptr<std::deque<std::string>> idTexts_;
  std::atomic<size_t> idBytes_{0};
  std::unordered_map<std::string_view, Held> held_;
  /** Under writing_. Labels below labelCount_ are in use or free. */
  std::atomic<uint32_t> labelCount_{0};
  std::vector<uint32_t> freeLabels_;
  std::atomic<int64_t> liveCount_{0};
  /** Odd while a point changes, so that a search can tell whether one did while it ran. */
  std::atomic<uint64_t> changes_{0};
  std::atomic<double> appliedIndex_{0};
  RecallMonitor recall_;
  std::atomic<bool> loading_{false};
  std::mutex loadLock_;
  std::condition_variable loaded_;
  std::string refused_;
  std::atomic<bool> isSaving_{false};
  std::mutex savedLock_;
  Saved saved_;
};

}  // namespace vectron
