// Matrix products of small tiles by torch's `brgemm`, and the layouts that it reads.
//
// C[m, n] (+)= A[m, k] B[k, n], sums in float32. In bfloat16, B holds pairs of rows in one word: B[k / 2, n, 2].
#pragma once
#include "vector.h"

namespace c10 {
struct BFloat16;
}

namespace at::native::cpublas {
void brgemm(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool add, const float* a,
            const float* b, float* c, bool pairs);
void brgemm(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool add, const c10::BFloat16* a,
            const c10::BFloat16* b, float* c, bool pairs);
void brgemm_release(bool pairs);
}  // namespace at::native::cpublas

namespace native {

inline void product(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                    int64_t ldc, bool add) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, false);
}

inline void product(int64_t m, int64_t n, int64_t k, const BFloat16* a, int64_t lda, const BFloat16* b, int64_t ldb,
                    float* c, int64_t ldc, bool add) {
  k += k % 2;  // callers leave room, and a zero, for the other half of the last pair
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, reinterpret_cast<const c10::BFloat16*>(a),
                              reinterpret_cast<const c10::BFloat16*>(b), c, true);
}

// Rows to read: row i begins at `data + (index ? index[i] : i) * stride`.
template <class In>
struct Rows {
  const In* data;
  int64_t stride, count;
  const int32_t* index;
  const In* operator[](int64_t i) const { return data + (index ? index[i] : i) * stride; }
};

inline int64_t at_most(int64_t x, int64_t most) {
  return x < most ? x : most;
}

inline int64_t round_up(int64_t x, int64_t unit) {
  return (x + unit - 1) / unit * unit;
}

// Writes the transpose [width, ld] of rows; columns from `count` to the next multiple of 16 become 0.
template <class In>
inline void pack_columns(const Rows<In>& rows, int64_t width, float* to, int64_t ld) {
  Words r[kVector];
  for (int64_t i = 0; i < round_up(rows.count, kLanes); i += kVector)
    for (int64_t d = 0; d < width; d += kVector) {
      for (int64_t each = 0; each < kVector; ++each)
        r[each] = i + each < rows.count ? (Words)load_floats(rows[i + each] + d, width - d) : Words{};
      transpose(r);
      for (int64_t each = 0; each < at_most(width - d, kVector); ++each) store(to + (d + each) * ld + i, r[each]);
    }
}

// The same for bfloat16; columns from `count` to the next multiple of 32 become 0.
inline void pack_columns(const Rows<BFloat16>& rows, int64_t width, BFloat16* to, int64_t ld) {
  Words r[kVector];
  for (int64_t i = 0; i < round_up(rows.count, 2 * kLanes); i += 2 * kVector)
    for (int64_t d = 0; d < width; d += kVector) {
      for (int64_t each = 0; each < kVector; ++each) {
        int64_t at = i + 2 * each;
        r[each] = at < rows.count ? words(load_halves(rows[at] + d, width - d)) : Words{};
        if (at + 1 < rows.count) r[each] |= words(load_halves(rows[at + 1] + d, width - d)) << 16;
      }
      transpose(r);
      for (int64_t each = 0; each < at_most(width - d, kVector); ++each) store(to + (d + each) * ld + i, r[each]);
    }
}

// Writes the transpose of rows as a right factor: [width, ld], or in bfloat16 [width / 2, ld, 2].
template <class In>
inline void pack_right_columns(const Rows<In>& rows, int64_t width, float* to, int64_t ld) {
  pack_columns(rows, width, to, ld);
}

inline void pack_right_columns(const Rows<BFloat16>& rows, int64_t width, BFloat16* to, int64_t ld) {
  Words r[kVector];
  for (int64_t i = 0; i < round_up(rows.count, kLanes); i += kVector)
    for (int64_t d = 0; d < width; d += 2 * kVector) {
      for (int64_t each = 0; each < kVector; ++each)
        r[each] = i + each < rows.count ? load_pairs(rows[i + each] + d, width - d) : Words{};
      transpose(r);
      for (int64_t each = 0; each < at_most((width - d) / 2, kVector); ++each)
        store(to + (d / 2 + each) * 2 * ld + 2 * i, r[each]);
    }
}

// Writes rows as a right factor: [count, width], or in bfloat16 [count / 2, width, 2], where an odd last row has a
// zero.
template <class In>
inline void pack_right_rows(const Rows<In>& rows, int64_t width, float* to) {
  for (int64_t i = 0; i < rows.count; ++i)
    for (int64_t d = 0; d < width; d += kVector)
      store_floats(to + i * width + d, load_floats(rows[i] + d, width - d), width - d);
}

inline void pack_right_rows(const Rows<BFloat16>& rows, int64_t width, BFloat16* to) {
  for (int64_t i = 0; i < rows.count; i += 2)
    for (int64_t d = 0; d < width; d += kVector) {
      Words pair = words(load_halves(rows[i] + d, width - d));
      if (i + 1 < rows.count) pair |= words(load_halves(rows[i + 1] + d, width - d)) << 16;
      store_bytes(to + i * width + 2 * d, &pair, at_most(width - d, kVector) * sizeof(uint32_t));
    }
}

}  // namespace native
