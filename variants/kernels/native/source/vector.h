// The numbers of a register, in the compiler's own vector types: sixteen with AVX-512, else eight, because the compiler
// keeps longer vectors in memory.
#pragma once
#include <cstdint>
#include <cstring>

namespace native {

constexpr int64_t kLanes = 16;  // columns and lanes are padded to a multiple of this

#ifdef __AVX512F__
constexpr int64_t kVector = 16;
#else
constexpr int64_t kVector = 8;
#endif

typedef float Floats __attribute__((vector_size(4 * kVector)));
typedef int32_t Ints __attribute__((vector_size(4 * kVector)));
typedef uint32_t Words __attribute__((vector_size(4 * kVector)));
typedef uint16_t Halves __attribute__((vector_size(2 * kVector)));
typedef _Float16 Float16s __attribute__((vector_size(2 * kVector)));

// Numbers as they lie in memory. The compiler has no type for bfloat16, so both are bits.
struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

inline Floats splat(float x) {
  return Floats{} + x;
}

template <class Vector>
inline Vector load(const void* from) {
  Vector x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

template <class Vector>
inline void store(void* to, Vector x) {
  std::memcpy(to, &x, sizeof x);
}

inline Floats larger(Floats x, Floats y) {
  return x < y ? y : x;
}  // keeps a NaN in x

inline Words words(Halves x) {
  return __builtin_convertvector(x, Words);
}

// Rounds to the nearest bfloat16, ties to even, and leaves it in the upper half of each word.
inline Words rounded(Floats x) {
  Words bits = (Words)x;
  return bits + 0x7fff + ((bits >> 16) & 1);
}

// Loads `count` numbers as floats; the lanes beyond are 0.
inline Floats load_floats(const float* from, int64_t count) {
  if (count >= kVector) return load<Floats>(from);
  Floats x{};
  std::memcpy(&x, from, count * sizeof(float));
  return x;
}

inline Halves load_halves(const void* from, int64_t count) {
  if (count >= kVector) return load<Halves>(from);
  Halves x{};
  std::memcpy(&x, from, count * sizeof(uint16_t));
  return x;
}

// Loads pairs of numbers as they lie in memory; those beyond `count` are 0.
inline Words load_pairs(const BFloat16* from, int64_t count) {
  if (count >= 2 * kVector) return load<Words>(from);
  Words x{};
  std::memcpy(&x, from, count * sizeof(BFloat16));
  return x;
}

inline Floats load_floats(const BFloat16* from, int64_t count) {
  return (Floats)(words(load_halves(from, count)) << 16);
}

inline Floats load_floats(const Half* from, int64_t count) {
  return __builtin_convertvector((Float16s)load_halves(from, count), Floats);
}

inline void store_bytes(void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, bytes);
}

inline void store_floats(float* to, Floats x, int64_t count) {
  if (count >= kVector) return store(to, x);
  store_bytes(to, &x, count * sizeof(float));
}

inline void store_floats(BFloat16* to, Floats x, int64_t count) {
  Halves bits = __builtin_convertvector(rounded(x) >> 16, Halves);
  store_bytes(to, &bits, (count < kVector ? count : kVector) * sizeof(uint16_t));
}

inline void store_floats(Half* to, Floats x, int64_t count) {
  Float16s bits = __builtin_convertvector(x, Float16s);
  store_bytes(to, &bits, (count < kVector ? count : kVector) * sizeof(uint16_t));
}

// 2^x to 2e-7; 0 below 2^-126. A NaN stays one.
inline Floats exp2(Floats x) {
  const Floats magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
  Floats low = splat(-126.f), y = larger(x, low);
  Floats shifted = y + magic;
  Ints n = (Ints)shifted - (Ints)magic;
  Floats f = y - (shifted - magic);
  Floats p = splat(1.34004322e-3f);
  p = p * f + 9.6760371e-3f;
  p = p * f + 5.55032721e-2f;
  p = p * f + 2.40221074e-1f;
  p = p * f + 6.93147207e-1f;
  p = p * f + 1.00000008f;
  Floats found = (Floats)((Words)p + ((Words)n << 23));
  return x < low ? Floats{} : found;
}

// x where the lane's bit is set, else y.
inline Floats select(uint16_t bits, Floats x, Floats y) {
#ifdef __AVX512F__
  const Ints lane = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
#else
  const Ints lane = {1, 2, 4, 8, 16, 32, 64, 128};
#endif
  Ints set = (Ints{} + (int32_t)bits) & lane;
  return set != 0 ? x : y;
}

// Transposes as many rows of words as a row has words.
#ifdef __AVX512F__
inline void transpose(Words r[16]) {
  Words t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      Words a = t[i + j], b = t[i + j + 2];
      r[i + j] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
      r[i + j + 2] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
  for (int i = 0; i < 16; i += 8)
    for (int j = 0; j < 4; ++j) {
      Words a = r[i + j], b = r[i + j + 4];
      t[i + j] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
      t[i + j + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
  for (int j = 0; j < 8; ++j) {
    Words a = t[j], b = t[j + 8];
    r[j] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    r[j + 8] = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
}
#else
inline void transpose(Words r[8]) {
  Words t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      Words a = t[i + j], b = t[i + j + 2];
      r[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int j = 0; j < 4; ++j) {
    Words a = r[j], b = r[j + 4];
    r[j] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    r[j + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
}
#endif

}  // namespace native
