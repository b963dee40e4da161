// Softmax of a tile's scores, which lie transposed: one key a row, one query a lane.
//
//   p = 2^(c s - m),   m = max c s,   c = log2(e) / sqrt(D)
#pragma once
#include <limits>

#include "products.h"

namespace native {

constexpr float kLowest = -1e30f;  // stands for -inf as a maximum, so that no difference of two is a NaN

// Sets the scores [count, lanes] of hidden pairs to -inf, and raises `most` [lanes] to the largest score.
inline void mask_and_find_most(float* scores, int64_t count, int64_t lanes, const uint64_t* mask, float* most) {
  const Floats hidden = splat(-std::numeric_limits<float>::infinity());
  for (int64_t lane = 0; lane < lanes; lane += kVector) {
    Floats found = load<Floats>(most + lane);
    for (int64_t key = 0; key < count; ++key) {
      float* at = scores + key * lanes + lane;
      Floats x = load<Floats>(at);
      if (mask) store(at, x = select(mask[key] >> lane, x, hidden));
      found = larger(found, x);
    }
    store(most + lane, found);
  }
}

// Turns scores into weights [count, lanes] as a right factor, and adds them to `sums` [lanes].
inline void exponentials(float* scores, int64_t count, int64_t lanes, float c, const float* most, float* sums, float*) {
  for (int64_t lane = 0; lane < lanes; lane += kVector) {
    Floats m = load<Floats>(most + lane), sum = load<Floats>(sums + lane);
    for (int64_t key = 0; key < count; ++key) {
      float* at = scores + key * lanes + lane;
      Floats p = exp2(load<Floats>(at) * c - m);
      sum += p;
      store(at, p);
    }
    store(sums + lane, sum);
  }
}

inline void exponentials(float* scores, int64_t count, int64_t lanes, float c, const float* most, float* sums,
                         BFloat16* weights) {
  for (int64_t lane = 0; lane < lanes; lane += kVector) {
    Floats m = load<Floats>(most + lane), sum = load<Floats>(sums + lane);
    for (int64_t key = 0; key < count; key += 2) {
      const float* at = scores + key * lanes + lane;
      Floats p = exp2(load<Floats>(at) * c - m), next{};
      if (key + 1 < count) next = exp2(load<Floats>(at + lanes) * c - m);
      sum += p;
      sum += next;
      store(weights + key * lanes + 2 * lane, (rounded(p) >> 16) | (rounded(next) & 0xffff0000));
    }
    store(sums + lane, sum);
  }
}

}  // namespace native
