#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "float_query.h"
#include "label_set.h"
#include "options.h"
#include "points.h"
#include "top.h"

namespace vectron {

/** How a set's points are searched: AllowedStrategy of src/vector/ports.ts. `graph`: the walk without a set. */
enum class Strategy : uint32_t { graph = 0, scan = 1, walk = 2, twoHop = 3 };
constexpr uint32_t strategyLast = 3;

struct Request {
  const float* query = nullptr;
  size_t length = 0;
  uint32_t k = 0;
  /** 0: chosen from k. */
  uint32_t ef = 0;
  /** Measure everything in float32. */
  bool exact = false;
  /** Measure vectors instead of 8-bit codes, as where there are none. */
  bool unquantised = false;
  /** nullptr: all points. */
  const LabelSet* allowed = nullptr;
  Strategy strategy = Strategy::graph;
  /** For walks within a set; 0: as many as the set has points. */
  uint64_t distancesMax = 0;
};

struct Hits {
  std::vector<std::string> ids;
  std::vector<float> scores;
  Strategy strategy = Strategy::scan;
  bool fellBack = false;
  uint64_t distances = 0;
  uint64_t visited = 0;
  uint64_t matches = 0;
  double micros = 0;
};

/**
 * One search over points that stay where they are meanwhile: the caller holds them. Uses scratch memory of the thread.
 * `query` is prepared (checked, normalised for cosine).
 */
class Searcher {
 public:
  Searcher(const Options& options, const Kernels& kernels, const Points& points, const std::vector<float>& query)
      : options_(options), kernels_(kernels), points_(points), query_(query) {}

  /** All points; `living` of them, `ef` 0 for a scan. Graph and tail together, each point once. */
  void all(const Request& request, Top& top, size_t ef, uint64_t living, Hits& hits) const;
  /** The points of request.allowed. */
  void within(const Request& request, Top& top, size_t ef, bool graph, Hits& hits) const;
  /** Those of these rows that live. */
  void scanRows(int32_t from, int32_t to, Top& top, Hits& hits) const;

 private:
  void walkAll(const Request& request, Top& top, size_t ef, uint64_t living, Hits& hits) const;
  /** Fills the pool; points from `linked` on are none of its. */
  template <typename Query>
  void walk(const Query& query, size_t ef, Entry entry, int32_t linked, Hits& hits) const;
  /** False: too few were found, or too much was spent. */
  bool walkWithin(const Request& request, Top& top, size_t ef, Hits& hits) const;
  /** Fills the pool with rows that pass. False: too much was spent. */
  template <typename Query>
  bool collect(const Query& query, const Request& request, const RowFilter& filter, size_t ef, Entry entry,
               int32_t linked, Hits& hits) const;
  bool byVectors(const Request& request) const { return request.unquantised || !points_.quantised(); }
  FloatQuery floatQuery() const { return FloatQuery(query_.data(), points_.vector(0), query_.size()); }
  /** The living of the pool, whose distances are exact. */
  void takePool(Top& top) const;
  void scanWithin(const Request& request, Top& top, Hits& hits) const;
  /** Aims the thread's query, which measures codes unless they would mislead. */
  void aim() const;
  /** Whether the point may be among the best, as far as the error of 8 bits goes. */
  bool mayBeat(const Top& top, Candidate candidate) const;
  /** The nearest of the pool's living points measured again, exactly. */
  void rank(Top& top, Hits& hits) const;
  /** The same for all that were measured. */
  void rankMeasured(Top& top, Hits& hits) const;
  float exactDistance(int32_t point) const;

  const Options& options_;
  const Kernels& kernels_;
  const Points& points_;
  const std::vector<float>& query_;
};

}  // namespace vectron
