#pragma once
#include <cstddef>
#include <cstdint>

namespace vectron {

/** The inner loops, one set for each instruction set; chosen once, at run time. Nothing here needs alignment. */
struct Kernels {
  const char* name;
  float (*dot)(const float* a, const float* b, size_t n);
  float (*squaredL2)(const float* a, const float* b, size_t n);
  /** Sum of u[i] * c[i]. n is a multiple of 64, at most 65,536: the sum then fits 32 bits. */
  int32_t (*dotCodes)(const uint8_t* u, const int8_t* c, size_t n);
  /** The same for `count` rows of `base`, n bytes each; those further on are fetched while one is measured. */
  void (*dotRows)(const uint8_t* base, const int32_t* rows, size_t count, const int8_t* c, size_t n, int32_t* out);
};

/** Rows that are fetched before they are measured. */
constexpr size_t rowsAhead = 4;

inline void fetchRow(const uint8_t* row, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at);
}

/** The best set this processor has, or the one VECTRON_KERNEL names (portable, avx2, avx512) if it has that. */
const Kernels& kernels();

/** nullptr when the name is unknown or the processor lacks it. */
const Kernels* kernelsNamed(const char* name);

extern const Kernels portableKernels;
#if defined(__x86_64__)
extern const Kernels avx2Kernels;
extern const Kernels avx512Kernels;
#endif

}  // namespace vectron
