// What Python plans and passes: tiles of queries, the keys that each needs, and tensors.
#pragma once
#include <cstdint>

namespace native {

constexpr int64_t kBlock = 64;   // keys in a block, and the most queries in a tile
constexpr int64_t kChunk = 512;  // keys whose scores are held at a time

// Tiles of queries with their keys. Keys are in blocks of up to 64, each an arithmetic progression of the sequence.
// Position p stands for key `first[p / 64] + p % 64 * step[p / 64]`.
struct Pass {
  int64_t tiles, blocks, slots;
  int64_t merges;              // 1 if earlier passes may have results for these queries
  const int32_t* rows;         // the queries of all tiles
  const int32_t* run_start;    // [runs]: position of a run's first key
  const int32_t* run_stop;     // [runs]: position after its last
  const int64_t* tile_rows;    // [tiles + 1]: where each tile's queries begin in `rows`
  const int64_t* tile_runs;    // [tiles + 1]: where each tile's runs begin
  const int64_t* tile_cost;    // [tiles + 1]: pairs computed by the tiles before
  const int64_t* run_mask;     // [runs]: where its masks begin, -1 if every query sees every key
  const uint64_t* masks;       // for each key of a run, bit i says whether the tile's query i sees it
  const int32_t* block_first;  // [blocks]
  const int32_t* block_step;   // [blocks]
  const int32_t* block_count;  // [blocks]
  const int32_t* block_slot;   // [blocks]: blocks that one tile needs are in different slots
};

// A tensor `B H N D` whose rows are contiguous; strides count numbers.
struct Tensor {
  void* data;
  int64_t batch, head, row;
};

struct Sizes {
  int64_t batch, heads, key_heads, length, width, threads;
};

}  // namespace native
