// Gradients of the queries of one pass, and of the keys and values that they see.
//
//   P^T = 2^(c K Q^T - L),   dS^T = P^T (V dO^T - delta) / sqrt(D),   delta = rowsum(dO O)
//   dQ^T += K^T dS^T,   dK += dS^T Q,   dV += P^T dO
//
// The scores are computed again from the log-sum-exps L. dK and dV of a block are summed in its slot in float32, and
// added to the gradients when the slot is needed for another block.
#pragma once
#include "forward.h"

namespace native {

template <class In, class P>
struct BackwardSpace {
  P *columns, *dcolumns, *rows, *drows, *keys_columns, *keys, *values, *weights, *dleft, *dright;
  float *scores, *dscores, *dkeys, *dvalues, *dq, *sums, *delta;
  int64_t* held;
  int64_t bytes;

  BackwardSpace(char* begin, int64_t slots, int64_t width) {
    constexpr bool converts = !std::is_same_v<In, P>, floats = std::is_same_v<P, float>;
    int64_t tile = width * kBlock;
    Space space{begin};
    columns = space.take<P>(tile);               // Q^T
    dcolumns = space.take<P>(tile);              // dO^T
    rows = space.take<P>(tile);                  // Q
    drows = space.take<P>(tile);                 // dO
    keys_columns = space.take<P>(slots * tile);  // K^T of each slot
    keys = space.take<P>(converts ? slots * tile : 0);
    values = space.take<P>(converts ? slots * tile : 0);
    weights = space.take<P>(floats ? 0 : kBlock * kBlock);  // P^T, and dS^T as a left and as a right factor
    dleft = space.take<P>(floats ? 0 : kBlock * kBlock);
    dright = space.take<P>(floats ? 0 : kBlock * kBlock);
    scores = space.take<float>(kBlock * kBlock);
    dscores = space.take<float>(kBlock * kBlock);
    dkeys = space.take<float>(slots * tile);
    dvalues = space.take<float>(slots * tile);
    dq = space.take<float>(tile);
    sums = space.take<float>(kBlock);
    delta = space.take<float>(kBlock);
    held = space.take<int64_t>(slots);
    bytes = space.used;
  }
};

// Turns scores into P^T and dscores, which hold V dO^T, into dS^T.
inline void differentiate(float* scores, float* dscores, int64_t count, int64_t lanes, const uint64_t* mask, float c,
                          float scale, const float* sums, const float* delta, float*, float*, float*) {
  const Floats hidden = splat(-std::numeric_limits<float>::infinity());
  for (int64_t lane = 0; lane < lanes; lane += kVector) {
    Floats l = load<Floats>(sums + lane), rest = load<Floats>(delta + lane);
    for (int64_t key = 0; key < count; ++key) {
      int64_t at = key * lanes + lane;
      Floats x = load<Floats>(scores + at) * c - l;
      if (mask) x = select(mask[key] >> lane, x, hidden);
      Floats p = exp2(x);
      store(scores + at, p);
      store(dscores + at, p * (load<Floats>(dscores + at) - rest) * scale);
    }
  }
}

inline void differentiate(float* scores, float* dscores, int64_t count, int64_t lanes, const uint64_t* mask, float c,
                          float scale, const float* sums, const float* delta, BFloat16* weights, BFloat16* dleft,
                          BFloat16* dright) {
  const Floats hidden = splat(-std::numeric_limits<float>::infinity());
  for (int64_t lane = 0; lane < lanes; lane += kVector) {
    Floats l = load<Floats>(sums + lane), rest = load<Floats>(delta + lane);
    for (int64_t key = 0; key < count; key += 2) {
      Words pair[2] = {};
      for (int64_t each = 0; each < at_most(count - key, 2); ++each) {
        int64_t at = (key + each) * lanes + lane;
        Floats x = load<Floats>(scores + at) * c - l;
        if (mask) x = select(mask[key + each] >> lane, x, hidden);
        Floats p = exp2(x);
        store(weights + at, __builtin_convertvector(rounded(p) >> 16, Halves));
        pair[each] = rounded(p * (load<Floats>(dscores + at) - rest) * scale);
        store(dleft + at, __builtin_convertvector(pair[each] >> 16, Halves));
      }
      store(dright + key * lanes + 2 * lane, (pair[0] >> 16) | (pair[1] & 0xffff0000));
    }
  }
}

template <class In, class P>
class Backward {
 public:
  // `spill`, if given, takes dK and dV of the first key head, [2, length, width], which another thread also computes.
  Backward(const Pass& pass, const Sizes& sizes, const Tensor* given, const float* sums, const Tensor* found,
           char* begin, float* spill, int64_t spilt_head)
      : pass_(pass),
        sizes_(sizes),
        given_(given),
        found_(found),
        sums_(sums),
        own_(begin, pass.slots, sizes.width),
        spill_(spill),
        spilt_head_(spilt_head) {
    scale_ = 1 / std::sqrt(static_cast<float>(sizes.width));
    c_ = 1.4426950408889634f * scale_;
    std::fill_n(own_.held, pass.slots, -1);
  }

  // Computes one tile for all query heads of a key head.
  void tile(int64_t key_head, int64_t tile) {
    int64_t batch = key_head / sizes_.key_heads, head = key_head % sizes_.key_heads;
    int64_t group = sizes_.heads / sizes_.key_heads;
    for (int64_t each = head * group; each < (head + 1) * group; ++each) query_head(batch, head, each, tile);
  }

  // Adds what the slots still hold to dK and dV.
  void finish() {
    for (int64_t slot = 0; slot < pass_.slots; ++slot) flush(slot);
  }

 private:
  void query_head(int64_t batch, int64_t key_head, int64_t head, int64_t tile) {
    const Tensor &q = given_[0], &out = given_[3], &dout = given_[4], &dq = found_[0];
    const int32_t* index = pass_.rows + pass_.tile_rows[tile];
    int64_t width = sizes_.width, count = pass_.tile_rows[tile + 1] - pass_.tile_rows[tile];
    Rows<In> rows{head_of<In>(q, batch, head), q.row, count, index};
    Rows<In> outs{head_of<In>(out, batch, head), out.row, count, index};
    Rows<In> douts{head_of<In>(dout, batch, head), dout.row, count, index};
    lanes_ = round_up(count, kLanes);
    count_ = count;
    pack_right_columns(rows, width, own_.columns, lanes_);
    pack_right_columns(douts, width, own_.dcolumns, lanes_);
    pack_right_rows(rows, width, own_.rows);
    pack_right_rows(douts, width, own_.drows);
    const float* sums = sums_ + (batch * sizes_.heads + head) * sizes_.length;
    for (int64_t i = 0; i < lanes_; ++i) {
      own_.sums[i] = i < count ? sums[index[i]] : 0;
      own_.delta[i] = i < count ? dot(outs[i], douts[i], width) : 0;
    }
    begun_ = false;
    visits(pass_, tile, [&](const Visit& visit) { add(batch, key_head, visit); });
    write_rows(own_.dq, width, lanes_, head_of<In>(dq, batch, head), dq.row, index, count, pass_.merges);
  }

  static float dot(const In* x, const In* y, int64_t width) {
    Floats sum{};
    for (int64_t d = 0; d < width; d += kVector) sum += load_floats(x + d, width - d) * load_floats(y + d, width - d);
    float found = 0;
    for (int64_t lane = 0; lane < kVector; ++lane) found += sum[lane];
    return found;
  }

  // Adds the gradients of the pairs of a tile and a block.
  void add(int64_t batch, int64_t key_head, const Visit& visit) {
    int64_t width = sizes_.width, tile = width * kBlock, slot = pass_.block_slot[visit.block];
    Rows<In> keys = rows_of(pass_, head_of<In>(given_[1], batch, key_head), given_[1].row, visit.block);
    Rows<In> values = rows_of(pass_, head_of<In>(given_[2], batch, key_head), given_[2].row, visit.block);
    int64_t block = (batch * sizes_.key_heads + key_head) * pass_.blocks + visit.block;
    if (own_.held[slot] != block) {
      flush(slot);
      own_.held[slot] = block;
      pack_columns(keys, width, own_.keys_columns + slot * tile, kBlock);
      if constexpr (!std::is_same_v<In, P>) {
        pack_right_rows(keys, width, own_.keys + slot * tile);
        pack_right_rows(values, width, own_.values + slot * tile);
      }
      std::fill_n(own_.dkeys + slot * tile, tile, 0.f);
      std::fill_n(own_.dvalues + slot * tile, tile, 0.f);
    }
    int64_t n = visit.count, ld, dld;
    const P* left = left_rows(keys, width, own_.keys + slot * tile, ld);
    const P* dleft = left_rows(values, width, own_.values + slot * tile, dld);
    product(n, lanes_, width, left + visit.place * ld, ld, own_.columns, lanes_, own_.scores, lanes_, false);
    product(n, lanes_, width, dleft + visit.place * dld, dld, own_.dcolumns, lanes_, own_.dscores, lanes_, false);
    differentiate(own_.scores, own_.dscores, n, lanes_, visit.mask, c_, scale_, own_.sums, own_.delta, own_.weights,
                  own_.dleft, own_.dright);
    const P *weights = own_.weights, *ds_left = own_.dleft, *ds_right = own_.dright;
    if constexpr (std::is_same_v<P, float>) {
      weights = own_.scores;
      ds_left = ds_right = own_.dscores;
    }
    int64_t at = slot * tile + visit.place * width;
    product(n, width, count_, weights, lanes_, own_.drows, width, own_.dvalues + at, width, true);
    product(n, width, count_, ds_left, lanes_, own_.rows, width, own_.dkeys + at, width, true);
    product(width, lanes_, n, own_.keys_columns + slot * tile + visit.place, kBlock, ds_right, lanes_, own_.dq, lanes_,
            begun_);
    begun_ = true;
  }

  // Adds the sums of a slot to the gradients of its keys and values.
  void flush(int64_t slot) {
    if (own_.held[slot] < 0) return;
    int64_t head = own_.held[slot] / pass_.blocks, block = own_.held[slot] % pass_.blocks;
    int64_t batch = head / sizes_.key_heads, key_head = head % sizes_.key_heads;
    for (int64_t which = 0; which < 2; ++which) {
      const float* from = (which ? own_.dvalues : own_.dkeys) + slot * sizes_.width * kBlock;
      if (spill_ && head == spilt_head_) {
        add_rows(from, spill_ + which * sizes_.length * sizes_.width, sizes_.width, block);
      } else {
        const Tensor& to = found_[1 + which];
        add_rows(from, head_of<In>(to, batch, key_head), to.row, block);
      }
    }
    own_.held[slot] = -1;
  }

  template <class Out>
  void add_rows(const float* from, Out* to, int64_t stride, int64_t block) {
    int64_t width = sizes_.width;
    for (int64_t i = 0; i < pass_.block_count[block]; ++i) {
      Out* at = to + (pass_.block_first[block] + i * pass_.block_step[block]) * stride;
      for (int64_t d = 0; d < width; d += kVector) {
        int64_t count = width - d;
        store_floats(at + d, load_floats(at + d, count) + load_floats(from + i * width + d, count), count);
      }
    }
  }

  const Pass& pass_;
  const Sizes& sizes_;
  const Tensor *given_, *found_;
  const float* sums_;
  BackwardSpace<In, P> own_;
  float* spill_;
  int64_t spilt_head_;
  float c_, scale_;
  int64_t lanes_ = 0, count_ = 0;
  bool begun_ = false;
};

}  // namespace native
