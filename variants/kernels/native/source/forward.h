// Outputs and log-sum-exps of the queries of one pass.
//
// For each tile the scores S^T = K Q^T of up to `kChunk` keys are held, and O^T = V^T P^T is summed. More keys come in
// chunks with a running maximum, and so do the results of earlier passes.
#pragma once
#include <cmath>

#include "softmax.h"
#include "tile.h"

namespace native {

// What a thread needs. In and P are the types of the tensors and of the products.
template <class In, class P>
struct ForwardSpace {
  P *columns, *values, *keys, *weights;
  float *scores, *out, *most, *chunk_most, *sums, *scaled;
  int64_t* held;
  Visit* visits;
  int64_t bytes;

  ForwardSpace(char* begin, int64_t slots, int64_t width) {
    Space space{begin};
    columns = space.take<P>(width * kBlock);         // Q^T
    values = space.take<P>(slots * width * kBlock);  // V^T of each slot
    keys = space.take<P>(std::is_same_v<In, P> ? 0 : slots * width * kBlock);
    weights = space.take<P>(std::is_same_v<P, float> ? 0 : (kChunk + kBlock) * kBlock);
    scores = space.take<float>((kChunk + kBlock) * kBlock);
    out = space.take<float>(width * kBlock);  // O^T
    most = space.take<float>(kBlock);
    chunk_most = space.take<float>(kBlock);
    sums = space.take<float>(kBlock);
    scaled = space.take<float>(kBlock);
    held = space.take<int64_t>(slots);  // which block each slot holds
    visits = space.take<Visit>(kChunk + kBlock);
    bytes = space.used;
  }
};

// Multiplies each lane of O^T [width, lanes] by its factor.
inline void scale_lanes(float* out, int64_t width, int64_t lanes, const float* by) {
  for (int64_t lane = 0; lane < lanes; lane += kVector) {
    Floats factor = load<Floats>(by + lane);
    for (int64_t d = 0; d < width; ++d) {
      float* at = out + d * lanes + lane;
      store(at, load<Floats>(at) * factor);
    }
  }
}

// Writes O^T [width, lanes] to rows, or adds it to what is there.
template <class In>
inline void write_rows(const float* out, int64_t width, int64_t lanes, In* to, int64_t stride, const int32_t* rows,
                       int64_t count, bool add) {
  Words r[kVector];
  for (int64_t i = 0; i < count; i += kVector)
    for (int64_t d = 0; d < width; d += kVector) {
      for (int64_t each = 0; each < kVector; ++each)
        r[each] = d + each < width ? load<Words>(out + (d + each) * lanes + i) : Words{};
      transpose(r);
      for (int64_t each = 0; each < at_most(count - i, kVector); ++each) {
        In* at = to + rows[i + each] * stride + d;
        Floats x = (Floats)r[each];
        if (add) x += load_floats(at, width - d);
        store_floats(at, x, width - d);
      }
    }
}

template <class In, class P>
class Forward {
 public:
  Forward(const Pass& pass, const Sizes& sizes, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
          float* sums, char* begin)
      : pass_(pass), sizes_(sizes), q_(q), k_(k), v_(v), out_(out), sums_(sums), own_(begin, pass.slots, sizes.width) {
    c_ = 1.4426950408889634f / std::sqrt(static_cast<float>(sizes.width));
    std::fill_n(own_.held, pass.slots, -1);
  }

  // Computes one tile for all query heads of a key head.
  void tile(int64_t key_head, int64_t tile) {
    int64_t batch = key_head / sizes_.key_heads, head = key_head % sizes_.key_heads;
    int64_t group = sizes_.heads / sizes_.key_heads;
    for (int64_t each = head * group; each < (head + 1) * group; ++each) query_head(batch, head, each, tile);
  }

 private:
  void query_head(int64_t batch, int64_t key_head, int64_t head, int64_t tile) {
    const int32_t* index = pass_.rows + pass_.tile_rows[tile];
    Rows<In> rows{head_of<In>(q_, batch, head), q_.row, pass_.tile_rows[tile + 1] - pass_.tile_rows[tile], index};
    lanes_ = round_up(rows.count, kLanes);
    pack_right_columns(rows, sizes_.width, own_.columns, lanes_);
    In* out = head_of<In>(out_, batch, head);
    float* sums = sums_ + (batch * sizes_.heads + head) * sizes_.length;
    start(rows.count, index, out, sums);
    int64_t visited = 0, keys = 0;
    visits(pass_, tile, [&](const Visit& visit) {
      if (keys + visit.count > kChunk) {
        finish_chunk(visited);
        visited = keys = 0;
      }
      score(batch, key_head, visit, own_.scores + keys * lanes_);
      own_.visits[visited++] = visit;
      keys += visit.count + visit.count % 2;
    });
    finish_chunk(visited);
    for (int64_t i = 0; i < lanes_; ++i) own_.scaled[i] = 1 / own_.sums[i];
    scale_lanes(own_.out, sizes_.width, lanes_, own_.scaled);
    write_rows(own_.out, sizes_.width, lanes_, out, out_.row, index, rows.count, false);
    for (int64_t i = 0; i < rows.count; ++i) sums[index[i]] = own_.most[i] + std::log2(own_.sums[i]);
  }

  // Begins with no keys, or with what earlier passes found.
  void start(int64_t count, const int32_t* index, const In* out, const float* sums) {
    std::fill_n(own_.most, kBlock, kLowest);
    std::fill_n(own_.chunk_most, kBlock, kLowest);
    std::fill_n(own_.sums, kBlock, 0.f);
    begun_ = pass_.merges;
    if (!begun_) return;
    for (int64_t i = 0; i < count; ++i)
      if (std::isfinite(sums[index[i]])) {
        own_.most[i] = sums[index[i]];
        own_.sums[i] = 1;
      }
    pack_columns(Rows<In>{out, out_.row, count, index}, sizes_.width, own_.out, lanes_);
  }

  // Computes the scores of one block, packing it first if its slot holds another.
  void score(int64_t batch, int64_t key_head, const Visit& visit, float* scores) {
    int64_t width = sizes_.width, slot = pass_.block_slot[visit.block];
    int64_t block = (batch * sizes_.key_heads + key_head) * pass_.blocks + visit.block;
    Rows<In> keys = rows_of(pass_, head_of<In>(k_, batch, key_head), k_.row, visit.block);
    P* copied = own_.keys + slot * width * kBlock;
    if (own_.held[slot] != block) {
      own_.held[slot] = block;
      pack_columns(rows_of(pass_, head_of<In>(v_, batch, key_head), v_.row, visit.block), width,
                   own_.values + slot * width * kBlock, kBlock);
      if constexpr (!std::is_same_v<In, P>) pack_right_rows(keys, width, copied);
    }
    int64_t stride;
    const P* left = left_rows(keys, width, copied, stride);
    product(visit.count, lanes_, width, left + visit.place * stride, stride, own_.columns, lanes_, scores, lanes_,
            false);
    mask_and_find_most(scores, visit.count, lanes_, visit.mask, own_.chunk_most);
  }

  // Adds the keys of a chunk to O^T and the sums.
  void finish_chunk(int64_t visited) {
    int64_t width = sizes_.width;
    for (int64_t i = 0; i < lanes_; ++i) {
      float most = std::max(own_.most[i], c_ * own_.chunk_most[i]);
      own_.scaled[i] = begun_ ? std::exp2(own_.most[i] - most) : 0;
      own_.sums[i] *= own_.scaled[i];
      own_.most[i] = most;
      own_.chunk_most[i] = kLowest;
    }
    if (begun_) scale_lanes(own_.out, width, lanes_, own_.scaled);
    float* scores = own_.scores;
    for (int64_t each = 0; each < visited; ++each) {
      const Visit& visit = own_.visits[each];
      P* weights;
      if constexpr (std::is_same_v<P, float>)
        weights = scores;
      else
        weights = own_.weights + (scores - own_.scores);
      exponentials(scores, visit.count, lanes_, c_, own_.most, own_.sums, weights);
      const P* values = own_.values + pass_.block_slot[visit.block] * width * kBlock + visit.place;
      product(width, lanes_, visit.count, values, kBlock, weights, lanes_, own_.out, lanes_, begun_);
      begun_ = true;
      scores += (visit.count + visit.count % 2) * lanes_;
    }
  }

  const Pass& pass_;
  const Sizes& sizes_;
  const Tensor &q_, &k_, &v_, &out_;
  float* sums_;
  ForwardSpace<In, P> own_;
  float c_;
  int64_t lanes_ = 0;
  bool begun_ = false;
};

}  // namespace native
