#pragma once
#include "kernels.h"
#include "options.h"
#include "points.h"

namespace vectron {

/**
 * Whether 8 bits a component say too little of these vectors: a vector's codes have one scale, and where a few components
 * are far larger than the others, all others are rounded away. Compares the neighbours in a sample of rows by codes and by
 * vectors: a few milliseconds. Beside readers and a writer.
 */
bool misleads(const Options& options, const Kernels& kernels, const Points& points);
/** Of the nearest in a sample by vectors, the share that are also the nearest by codes. */
double agreement(const Options& options, const Kernels& kernels, const Points& points);

}  // namespace vectron
