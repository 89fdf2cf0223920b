#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace vectron {

enum class Metric : uint32_t { cosine = 0, euclidean = 1, dot = 2 };

/**
 * What a distance computes. Cosine is the inner product of vectors normalised when they were put. `sphere` is what links
 * are made by when the metric is the inner product, which alone is no distance (long vectors are near to everything, and
 * a vector may be farther from itself than from another): each vector gets one more component that makes all of them
 * equally long, which a query lacks. Order for queries stays, and neighbours are neighbours (Bachrach et al. 2014,
 * "Speeding up the Xbox recommender system", section 3).
 */
enum class Form { squaredL2, innerProduct, sphere };

/** The limits of src/base/limits.ts that matter here, checked again beside every call. */
constexpr uint32_t dimensionMax = 65536;
constexpr uint32_t mMax = 128;
constexpr uint32_t efConstructionMax = 4000;
constexpr uint32_t efMax = 10000;
constexpr uint32_t kMax = 10000;
constexpr size_t idBytesMax = 512;
constexpr double squaredLengthMax = 1e37;

struct Options {
  uint32_t dimension = 0;
  Metric metric = Metric::euclidean;
  uint32_t m = 16;
  uint32_t efConstruction = 200;
  uint64_t capacity = 0;
  /** Live points below which there is no graph: see graphThreshold(). */
  uint64_t threshold = 0;
  /** Where a file may hold the vectors, so that they take no memory. Empty: they are in memory. */
  std::string folder;
  /** False: there are no codes of 8 bits, and walks and links measure vectors. */
  bool quantised = true;

  /** How links are measured. */
  Form linkForm() const { return metric == Metric::dot ? Form::sphere : form(); }
  /** How queries are. */
  Form form() const { return metric == Metric::euclidean ? Form::squaredL2 : Form::innerProduct; }
};

/** Throws INVALID_ARGUMENT naming the option. */
void checkOptions(const Options& options);

/**
 * How many points it takes before there is a graph. A walk's cost is nearly constant, a scan's grows with the number of
 * floats plus some for each point: measured with AVX-512 and ef 64 they meet at about 240,000 / (dimension + 40) points
 * (300 at 784-d, 1,400 at 128-d). Up to less than twice that a scan is kept, because it is exact and costs nothing to
 * maintain.
 */
inline uint64_t graphThreshold(uint32_t dimension) { return 400000 / (dimension + 40); }

}  // namespace vectron
