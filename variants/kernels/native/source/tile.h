// A tile of queries and its visits to key blocks, and how threads share the tiles.
#pragma once
#include <algorithm>
#include <type_traits>

#include "plan.h"
#include "products.h"

namespace native {

// Hands out pieces of a thread's memory, aligned to 64 bytes. Without memory it counts.
struct Space {
  char* begin;
  int64_t used = 0;

  template <class T>
  T* take(int64_t count) {
    T* found = begin ? reinterpret_cast<T*>(begin + used) : nullptr;
    used += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return found;
  }
};

// The part of a run that lies in one block: `count` keys from place `place` of the block.
struct Visit {
  int64_t block, place, count;
  const uint64_t* mask;
};

// Calls `visit` for each block of a tile, in the order of positions.
template <class Each>
inline void visits(const Pass& pass, int64_t tile, Each each) {
  for (int64_t run = pass.tile_runs[tile]; run < pass.tile_runs[tile + 1]; ++run) {
    int64_t start = pass.run_start[run], stop = pass.run_stop[run];
    const uint64_t* mask = pass.run_mask[run] < 0 ? nullptr : pass.masks + pass.run_mask[run];
    for (int64_t at = start; at < stop;) {
      int64_t block = at / kBlock, place = at % kBlock;
      int64_t count = std::min({kBlock - place, stop - at, pass.block_count[block] - place});
      each(Visit{block, place, count, mask ? mask + (at - start) : nullptr});
      at = (block + 1) * kBlock;
    }
  }
}

// A share of the tiles of all key heads: from (head, tile) up to (last_head, last_tile).
struct Share {
  int64_t head, tile, last_head, last_tile;
};

// Cuts the tiles into as many shares of about equal cost as there are threads.
inline Share share_of(const Pass& pass, int64_t key_heads, int64_t thread, int64_t threads) {
  int64_t cost = pass.tile_cost[pass.tiles];
  auto edge = [&](int64_t which, int64_t& head, int64_t& tile) {
    int64_t at = cost * (key_heads * which / threads) + cost * (key_heads * which % threads) / threads;
    head = which == threads ? key_heads : at / cost;
    tile = which == threads ? 0
                            : std::lower_bound(pass.tile_cost, pass.tile_cost + pass.tiles, at % cost) - pass.tile_cost;
  };
  Share share;
  edge(thread, share.head, share.tile);
  edge(thread + 1, share.last_head, share.last_tile);
  return share;
}

// Calls `each(key_head, tile)` for the tiles of a share.
template <class Each>
inline void tiles_of(const Pass& pass, const Share& share, Each each) {
  for (int64_t head = share.head; head <= share.last_head; ++head) {
    int64_t first = head == share.head ? share.tile : 0;
    int64_t last = head == share.last_head ? share.last_tile : pass.tiles;
    for (int64_t tile = first; tile < last; ++tile) each(head, tile);
  }
}

template <class T>
inline T* head_of(const Tensor& tensor, int64_t batch, int64_t head) {
  return static_cast<T*>(tensor.data) + batch * tensor.batch + head * tensor.head;
}

// The keys (or values) of a block, from its first.
template <class In>
inline Rows<In> rows_of(const Pass& pass, const In* keys, int64_t stride, int64_t block) {
  return {keys + pass.block_first[block] * stride, pass.block_step[block] * stride, pass.block_count[block], nullptr};
}

// The rows of a left factor: as they lie in memory if that is the products' type, else a copy in `room`.
template <class In, class P>
inline const P* left_rows(const Rows<In>& rows, int64_t width, const P* room, int64_t& stride) {
  if constexpr (std::is_same_v<In, P>) {
    stride = rows.stride;
    return rows.data;
  } else {
    stride = width;
    return room;
  }
}

}  // namespace native
