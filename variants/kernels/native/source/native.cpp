// The functions that Python calls. `type` is 0 for float32, 1 for float16 and 2 for bfloat16; with `pairs`, products
// are in bfloat16, else in float32. Functions return 0, or -1 for a type that is not known.
#include <omp.h>

#include "backward.h"

namespace native {
namespace {

template <class In, class P>
void forward(const Pass& pass, const Sizes& sizes, const Tensor* given, const Tensor& out, float* sums, char* space) {
  int64_t bytes = ForwardSpace<In, P>(nullptr, pass.slots, sizes.width).bytes;
#pragma omp parallel num_threads(sizes.threads)
  {
    int64_t thread = omp_get_thread_num();
    Forward<In, P> own(pass, sizes, given[0], given[1], given[2], out, sums, space + thread * bytes);
    tiles_of(pass, share_of(pass, sizes.batch * sizes.key_heads, thread, sizes.threads),
             [&](int64_t head, int64_t tile) { own.tile(head, tile); });
    at::native::cpublas::brgemm_release(!std::is_same_v<P, float>);
  }
}

template <class In, class P>
void backward(const Pass& pass, const Sizes& sizes, const Tensor* given, const float* sums, const Tensor* found,
              char* space) {
  int64_t bytes = BackwardSpace<In, P>(nullptr, pass.slots, sizes.width).bytes;
  int64_t key_heads = sizes.batch * sizes.key_heads, half = sizes.length * sizes.width;
  // A thread that begins within a head sums its share of dK and dV apart, so that sums have one order.
  float* spills = reinterpret_cast<float*>(space + sizes.threads * bytes);
  auto spill_of = [&](int64_t thread) -> float* {
    if (key_heads * thread % sizes.threads == 0) return nullptr;
    int64_t before = 0;
    for (int64_t each = 1; each < thread; ++each) before += key_heads * each % sizes.threads != 0;
    return spills + before * 2 * half;
  };
#pragma omp parallel num_threads(sizes.threads)
  {
    int64_t thread = omp_get_thread_num();
    Share share = share_of(pass, key_heads, thread, sizes.threads);
    float* spill = spill_of(thread);
    if (spill) std::fill_n(spill, 2 * half, 0.f);
    Backward<In, P> own(pass, sizes, given, sums, found, space + thread * bytes, spill, share.head);
    tiles_of(pass, share, [&](int64_t head, int64_t tile) { own.tile(head, tile); });
    own.finish();
    at::native::cpublas::brgemm_release(!std::is_same_v<P, float>);
  }
  for (int64_t thread = 0; thread < sizes.threads; ++thread) {
    const float* spill = spill_of(thread);
    if (!spill) continue;
    int64_t head = share_of(pass, key_heads, thread, sizes.threads).head;
#pragma omp parallel for num_threads(sizes.threads)
    for (int64_t row = 0; row < 2 * sizes.length; ++row) {
      const Tensor& to = found[1 + row / sizes.length];
      In* at = head_of<In>(to, head / sizes.key_heads, head % sizes.key_heads) + row % sizes.length * to.row;
      const float* from = spill + row * sizes.width;
      for (int64_t d = 0; d < sizes.width; d += kVector) {
        int64_t count = sizes.width - d;
        store_floats(at + d, load_floats(at + d, count) + load_floats(from + d, count), count);
      }
    }
  }
}

// Calls `each` with values of the two types.
template <class Each>
int dispatch(int type, int pairs, Each each) {
  if (type == 0)
    each(float{}, float{});
  else if (type == 1)
    each(Half{}, float{});
  else if (type == 2 && pairs)
    each(BFloat16{}, BFloat16{});
  else if (type == 2)
    each(BFloat16{}, float{});
  else
    return -1;
  return 0;
}

}  // namespace
}  // namespace native

extern "C" {

// Whether torch multiplies bfloat16 on this CPU. It raises where it does not.
int native_multiplies_bfloat16() {
  native::BFloat16 a[64] = {}, b[64] = {};
  float c[64];
  try {
    native::product(1, 16, 2, a, 2, b, 16, c, 16, false);
  } catch (...) {
    return 0;
  }
  at::native::cpublas::brgemm_release(true);
  return 1;
}

// The bytes that each thread needs for a pass.
int64_t native_space(int type, int pairs, int is_backward, int64_t slots, int64_t width) {
  int64_t bytes = 0;
  native::dispatch(type, pairs, [&](auto in, auto product) {
    using In = decltype(in);
    using P = decltype(product);
    bytes = is_backward ? native::BackwardSpace<In, P>(nullptr, slots, width).bytes
                        : native::ForwardSpace<In, P>(nullptr, slots, width).bytes;
  });
  return bytes;
}

// `given` is q, k, v. `sums` [batch, heads, length] takes log-sum-exps to base 2.
int native_forward(int type, int pairs, const native::Pass* pass, const native::Sizes* sizes,
                   const native::Tensor* given, const native::Tensor* out, float* sums, void* space) {
  return native::dispatch(type, pairs, [&](auto in, auto product) {
    native::forward<decltype(in), decltype(product)>(*pass, *sizes, given, *out, sums, static_cast<char*>(space));
  });
}

// `given` is q, k, v, out, dout; `found` is dq, dk, dv. dk and dv are added to.
int native_backward(int type, int pairs, const native::Pass* pass, const native::Sizes* sizes,
                    const native::Tensor* given, const float* sums, const native::Tensor* found, void* space) {
  return native::dispatch(type, pairs, [&](auto in, auto product) {
    native::backward<decltype(in), decltype(product)>(*pass, *sizes, given, sums, found, static_cast<char*>(space));
  });
}
}
