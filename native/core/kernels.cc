#include "kernels.h"

#include <cstdlib>
#include <cstring>

namespace vectron {
namespace {

/** Eight independent sums let the compiler use whatever vectors the base instruction set has. */
constexpr size_t lanes = 8;

float dot(const float* a, const float* b, size_t n) {
  float sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (size_t j = 0; j < lanes; j++) sums[j] += a[i + j] * b[i + j];
  float total = 0;
  for (; i < n; i++) total += a[i] * b[i];
  for (float sum : sums) total += sum;
  return total;
}

float squaredL2(const float* a, const float* b, size_t n) {
  float sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (size_t j = 0; j < lanes; j++) {
      const float difference = a[i + j] - b[i + j];
      sums[j] += difference * difference;
    }
  float total = 0;
  for (; i < n; i++) total += (a[i] - b[i]) * (a[i] - b[i]);
  for (float sum : sums) total += sum;
  return total;
}

int32_t dotCodes(const uint8_t* u, const int8_t* c, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += static_cast<int32_t>(u[i]) * c[i];
  return sum;
}

void dotRows(const uint8_t* base, const int32_t* rows, size_t count, const int8_t* c, size_t n,
             int32_t* out) {
  for (size_t i = 0; i < count; i++) {
    if (i + rowsAhead < count) fetchRow(base + static_cast<size_t>(rows[i + rowsAhead]) * n, n);
    out[i] = dotCodes(base + static_cast<size_t>(rows[i]) * n, c, n);
  }
}

bool supported(const Kernels& set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (&set == &avx512Kernels)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
  if (&set == &avx2Kernels) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return &set == &portableKernels;
}

const Kernels* const sets[] = {
#if defined(__x86_64__)
    &avx512Kernels, &avx2Kernels,
#endif
    &portableKernels};

const Kernels& choose() {
  const char* forced = std::getenv("VECTRON_KERNEL");
  if (forced != nullptr) {
    const Kernels* named = kernelsNamed(forced);
    if (named != nullptr) return *named;
  }
  for (const Kernels* set : sets)
    if (supported(*set)) return *set;
  return portableKernels;
}

}  // namespace

const Kernels portableKernels = {"portable", dot, squaredL2, dotCodes, dotRows};

const Kernels* kernelsNamed(const char* name) {
  for (const Kernels* set : sets)
    if (std::strcmp(set->name, name) == 0 && supported(*set)) return set;
  return nullptr;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace vectron
