#include "kernels.h"

#if defined(__x86_64__)
// GCC 12 takes the undefined registers of its own intrinsics for mistakes of ours.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni,fma")))

namespace vectron {
namespace {

TARGET_AVX2 inline float sumOf(__m256 v) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

TARGET_AVX2 float dotAvx2(const float* a, const float* b, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
    s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
    s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
  }
  for (; i + 8 <= n; i += 8) s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
  float total = sumOf(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
  for (; i < n; i++) total += a[i] * b[i];
  return total;
}

TARGET_AVX2 float squaredL2Avx2(const float* a, const float* b, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
    const __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
    s0 = _mm256_fmadd_ps(d0, d0, s0);
    s1 = _mm256_fmadd_ps(d1, d1, s1);
  }
  float total = sumOf(_mm256_add_ps(s0, s1));
  for (; i < n; i++) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

/** Widened to 16 bits before multiplying: the 8-bit multiply of AVX2 saturates. */
TARGET_AVX2 int32_t dotCodesAvx2(const uint8_t* u, const int8_t* c, size_t n) {
  __m256i s0 = _mm256_setzero_si256(), s1 = s0;
  for (size_t i = 0; i < n; i += 32) {
    const __m256i u0 = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(u + i)));
    const __m256i u1 = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(u + i + 16)));
    const __m256i c0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(c + i)));
    const __m256i c1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(c + i + 16)));
    s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(u0, c0));
    s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(u1, c1));
  }
  const __m256i s = _mm256_add_epi32(s0, s1);
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

/** The last, partial vector is loaded under a mask: zeros add nothing. */
TARGET_AVX512 inline __mmask16 tailMask(size_t rest) { return static_cast<__mmask16>((1u << rest) - 1); }

TARGET_AVX512 float dotAvx512(const float* a, const float* b, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
    s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
    s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
  }
  for (; i + 16 <= n; i += 16) s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
  if (i < n) {
    const __mmask16 mask = tailMask(n - i);
    s1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i), s1);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

TARGET_AVX512 float squaredL2Avx512(const float* a, const float* b, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
    const __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
    s0 = _mm512_fmadd_ps(d0, d0, s0);
    s1 = _mm512_fmadd_ps(d1, d1, s1);
  }
  for (; i < n; i += 16) {
    const __mmask16 mask = n - i >= 16 ? 0xffff : tailMask(n - i);
    const __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));
    s0 = _mm512_fmadd_ps(d, d, s0);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

TARGET_AVX512 int32_t dotCodesAvx512(const uint8_t* u, const int8_t* c, size_t n) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0;
  size_t i = 0;
  for (; i + 128 <= n; i += 128) {
    s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(u + i), _mm512_loadu_si512(c + i));
    s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(u + i + 64), _mm512_loadu_si512(c + i + 64));
  }
  if (i < n) s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(u + i), _mm512_loadu_si512(c + i));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
}

TARGET_AVX2 void dotRowsAvx2(const uint8_t* base, const int32_t* rows, size_t count, const int8_t* c, size_t n,
             int32_t* out) {
  for (size_t i = 0; i < count; i++) {
    if (i + rowsAhead < count) fetchRow(base + static_cast<size_t>(rows[i + rowsAhead]) * n, n);
    out[i] = dotCodesAvx2(base + static_cast<size_t>(rows[i]) * n, c, n);
  }
}

TARGET_AVX512 void dotRowsAvx512(const uint8_t* base, const int32_t* rows, size_t count, const int8_t* c, size_t n,
             int32_t* out) {
  for (size_t i = 0; i < count; i++) {
    if (i + rowsAhead < count) fetchRow(base + static_cast<size_t>(rows[i + rowsAhead]) * n, n);
    out[i] = dotCodesAvx512(base + static_cast<size_t>(rows[i]) * n, c, n);
  }
}

}  // namespace

const Kernels avx2Kernels = {"avx2", dotAvx2, squaredL2Avx2, dotCodesAvx2, dotRowsAvx2};
const Kernels avx512Kernels = {"avx512", dotAvx512, squaredL2Avx512, dotCodesAvx512, dotRowsAvx512};

}  // namespace vectron
#endif
