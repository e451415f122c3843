/** GGM trees for the tiers AVX2 and VAES, a tile of eight registers at a time. The includer defines `lanes`, a
 * register; LANES, the number of blocks in it; and the functions *_lanes(). */
#ifndef FUSION_SILENT_GGM_TILES_AVX2_H
#define FUSION_SILENT_GGM_TILES_AVX2_H

#include "silent/ggm_kernels.h"

enum { TILE = 8, TILE_BLOCKS = TILE * LANES };
enum part { INNER, LEAVES, SUMS_ONLY }; /* what becomes of the children of a tile: see tile() */

static inline lanes spread(lanes x) {
  return swap_lanes(x) ^ (x & block_lanes(UINT64_MAX, 0));
}

static inline lanes round_lanes(const struct aes_key *key, size_t round) {
  return load_one_lanes(&key->round[round]);
}

static inline lanes hash_zero(const struct aes_key *key) {
  lanes y = round_lanes(key, 0);
  for (size_t round = 1; round < 10; round++) y = aes_lanes(y, round_lanes(key, round));
  return aes_last_lanes(y, round_lanes(key, 10));
}

/* A level of `count` registers, at most a tile, of which all nodes are right. Returns the XOR of the left children by
 * lanes. */
__attribute__((always_inline)) static inline lanes narrow(const struct aes_key *key, block *nodes, size_t count) {
  const lanes first = round_lanes(key, 0), last = round_lanes(key, 10);
  lanes x[TILE], s[TILE], y[TILE], sum = block_lanes(0, 0);
  for (size_t i = 0; i < count; i++) {
    x[i] = load_lanes(&nodes[LANES * i]);
    s[i] = spread(x[i]);
    y[i] = s[i] ^ first;
  }
  for (size_t round = 1; round < 10; round++) {
    const lanes k = round_lanes(key, round);
    for (size_t i = 0; i < count; i++) y[i] = aes_lanes(y[i], k);
  }
  for (size_t i = 0; i < count; i++) {
    const lanes h = aes_last_lanes(y[i], s[i] ^ last);
    sum ^= h;
    store_lanes(&nodes[LANES * i], h);
    store_lanes(&nodes[LANES * (count + i)], x[i] ^ h);
  }
  return sum;
}

static lanes narrow_level(const struct aes_key *key, block *nodes, size_t width) {
  if (width == LANES) return narrow(key, nodes, 1);
  if (width == 2 * LANES) return narrow(key, nodes, 2);
  if (width == 4 * LANES) return narrow(key, nodes, 4);
  return narrow(key, nodes, TILE);
}

/* The children of a tile, whose nodes spread are `s`; the same of the next tile goes to `then`, between the rounds of
 * this one, where it costs least. Returns the XOR of the left children by lanes. */
__attribute__((always_inline)) static inline lanes tile(const struct aes_key *key, block *nodes, size_t width,
                                                        const block *next, const lanes s[TILE], lanes then[TILE],
                                                        enum part part) {
  const lanes first = round_lanes(key, 0), last = round_lanes(key, 10);
  const lanes keep = part == LEAVES ? block_lanes(UINT64_MAX, UINT64_MAX - 1) : block_lanes(UINT64_MAX, UINT64_MAX);
  lanes y[TILE], sum = block_lanes(0, 0);
  for (size_t i = 0; i < TILE; i++) y[i] = s[i] ^ first;
#pragma GCC unroll 9
  for (size_t round = 1; round < 10; round++) {
    const lanes k = round_lanes(key, round);
    for (size_t i = 0; i < TILE; i++) y[i] = aes_lanes(y[i], k);
    if (round <= TILE) then[round - 1] = spread(load_lanes(&next[LANES * (round - 1)]));
  }
  for (size_t i = 0; i < TILE; i++) {
    const lanes h = aes_last_lanes(y[i], s[i] ^ last);
    sum ^= h;
    if (part == SUMS_ONLY) continue;
    const lanes right = load_lanes(&nodes[LANES * i]) ^ h;
    store_lanes(&nodes[LANES * i], h & keep);
    store_lanes(&nodes[width + LANES * i], right & keep);
  }
  return sum;
}

/* As functions of their own they keep a tile in registers. */
__attribute__((noinline)) static lanes inner_tile(const struct aes_key *key, block *nodes, size_t width,
                                                  const block *next, const lanes s[TILE], lanes then[TILE]) {
  return tile(key, nodes, width, next, s, then, INNER);
}
__attribute__((noinline)) static lanes leaf_tile(const struct aes_key *key, block *nodes, size_t width,
                                                 const block *next, const lanes s[TILE], lanes then[TILE]) {
  return tile(key, nodes, width, next, s, then, LEAVES);
}
__attribute__((noinline)) static lanes sum_tile(const struct aes_key *key, block *nodes, size_t width,
                                                const block *next, const lanes s[TILE], lanes then[TILE]) {
  return tile(key, nodes, width, next, s, then, SUMS_ONLY);
}

static void clear_bits(block *leaves, size_t count) {
  for (size_t i = 0; i < count; i++) leaves[i].lo &= UINT64_MAX - 1;
}

/* `last`: the last level's. */
static inline void expand(const struct aes_key *key, block *nodes, block *left_sums, unsigned depth, enum part last) {
  lanes s[2][TILE];
  unsigned level = 1, turn = 0;
  for (; level < depth && (size_t)1 << level <= TILE_BLOCKS; level++)
    store_sum_lanes(&left_sums[level], narrow_level(key, nodes, (size_t)1 << level));
  if (level == depth) {
    clear_bits(nodes, (size_t)1 << depth);
    return;
  }
  for (size_t i = 0; i < TILE; i++) s[0][i] = spread(load_lanes(&nodes[LANES * i]));
  for (; level < depth; level++) {
    const size_t width = (size_t)1 << level;
    lanes sum = block_lanes(0, 0);
    for (size_t at = 0; at < width; at += TILE_BLOCKS, turn ^= 1) {
      /* After a level's last tile comes the next one's first: its nodes are there, as a level has two tiles or more. */
      const block *const next = at + TILE_BLOCKS < width ? &nodes[at + TILE_BLOCKS] : nodes;
      if (level + 1 < depth)
        sum ^= inner_tile(key, &nodes[at], width, next, s[turn], s[turn ^ 1]);
      else if (last == LEAVES)
        sum ^= leaf_tile(key, &nodes[at], width, next, s[turn], s[turn ^ 1]);
      else
        sum ^= sum_tile(key, &nodes[at], width, next, s[turn], s[turn ^ 1]);
    }
    store_sum_lanes(&left_sums[level], sum);
  }
  mem_wipe(s, sizeof s);
}

/* --- punctured trees --- */

/* Of a level of `width` nodes: the hole and its sibling are width / 2 apart, so one comparison finds both. */
struct gap {
  lanes at;        /* position of the lower one of the two, from the first node of a tile on */
  lanes low, high; /* what they must be */
};

static inline lanes find_gap(lanes at, size_t i) {
  static const _Alignas(32) uint64_t places[TILE][2] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}, {7, 7}};
  return equal_lanes(at, load_places_lanes(places[LANES * i]));
}

/* Registers i of both halves of a tile, the gap filled, to `then` spread. */
static inline void fill_pair(block *nodes, size_t half, size_t i, const struct gap *gap, lanes then[TILE]) {
  block *const low = &nodes[LANES * i], *const high = low + half;
  const lanes found = find_gap(gap->at, i);
  const lanes a = blend_lanes(load_lanes(low), gap->low, found);
  const lanes b = blend_lanes(load_lanes(high), gap->high, found);
  store_lanes(low, a);
  store_lanes(high, b);
  then[i] = spread(a);
  then[TILE / 2 + i] = spread(b);
}

/* Half a tile from nodes on, and half a level on its other half. `then`: of the next tile; gap->at counts from there.
 */
__attribute__((noinline)) static lanes gap_tile(const struct aes_key *key, block *nodes, size_t half,
                                                const struct gap *gap_of_next, const lanes s[TILE], lanes then[TILE]) {
  const lanes first = round_lanes(key, 0), last = round_lanes(key, 10);
  const struct gap gap = *gap_of_next;
  lanes y[TILE], sum = block_lanes(0, 0);
  for (size_t i = 0; i < TILE; i++) y[i] = s[i] ^ first;
#pragma GCC unroll 9
  for (size_t round = 1; round < 10; round++) {
    const lanes k = round_lanes(key, round);
    for (size_t i = 0; i < TILE; i++) y[i] = aes_lanes(y[i], k);
    if (round % 2 == 1 && round < TILE) fill_pair(&nodes[TILE_BLOCKS / 2], half, round / 2, &gap, then);
  }
  for (size_t i = 0; i < TILE; i++) {
    block *const left = &nodes[i < TILE / 2 ? LANES * i : half + LANES * i - TILE_BLOCKS / 2];
    const lanes h = aes_last_lanes(y[i], s[i] ^ last);
    const lanes right = load_lanes(left) ^ h;
    sum ^= h;
    store_lanes(left, h);
    store_lanes(left + 2 * half, right);
  }
  return sum;
}

static lanes gap_level(const struct aes_key *key, block *nodes, size_t width, const struct gap *gap, lanes s[2][TILE]) {
  const size_t half = width / 2;
  lanes sum = block_lanes(0, 0);
  if (width <= TILE_BLOCKS) {
    for (size_t i = 0; LANES * i < half; i++) fill_pair(nodes, half, i, gap, s[0]);
    return narrow_level(key, nodes, width);
  }
  struct gap here = *gap;
  unsigned turn = 0;
  for (size_t i = 0; i < TILE / 2; i++) fill_pair(nodes, half, i, &here, s[0]);
  for (size_t at = 0; at < half; at += TILE_BLOCKS / 2, turn ^= 1) {
    here.at = subtract_lanes(here.at, block_lanes(TILE_BLOCKS / 2, TILE_BLOCKS / 2));
    sum ^= gap_tile(key, &nodes[at], half, &here, s[turn], s[turn ^ 1]);
  }
  return sum;
}

/* Of the level that has 2^level nodes on either side of its last turn. */
static inline struct gap gap_of(uint64_t turns, unsigned level, lanes hole, lanes sibling) {
  const uint64_t place = turns & low_mask(level), turn = (uint64_t)0 - (turns >> level & 1);
  const lanes right = block_lanes(turn, turn);
  return (struct gap){.at = block_lanes(place, place),
                      .low = blend_lanes(hole, sibling, right),
                      .high = blend_lanes(sibling, hole, right)};
}

/* Fills the gap of 2 * half leaves, and clears the lowest bit of all others. */
static void mend(block *leaves, size_t half, struct gap gap) {
  const lanes keep = block_lanes(UINT64_MAX, UINT64_MAX - 1);
  for (size_t i = 0; i < half; i += LANES) {
    const lanes found = find_gap(gap.at, 0);
    store_lanes(&leaves[i], blend_lanes(load_lanes(&leaves[i]) & keep, gap.low, found));
    store_lanes(&leaves[half + i], blend_lanes(load_lanes(&leaves[half + i]) & keep, gap.high, found));
    gap.at = subtract_lanes(gap.at, block_lanes(LANES, LANES));
  }
}

static inline void expand_punctured(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns,
                                    unsigned depth) {
  /* The hole is read as 0: both its children come out as H(0), in the left sum and in the right one alike. */
  const lanes of_zero = hash_zero(key), zero = block_lanes(0, 0), clear = block_lanes(UINT64_MAX, UINT64_MAX - 1);
  lanes s[2][TILE], sibling = load_one_lanes(&sums[0]),
                    others = sibling; /* others: the sum of all nodes but the hole */
  struct gap gap;
  leaves[0] = block_and_mask(sums[0], (uint64_t)0 - (turns & 1));
  leaves[1] = block_and_mask(sums[0], (turns & 1) - 1);
  for (unsigned level = 1; level < depth; level++) {
    const uint64_t turn = (uint64_t)0 - (turns >> level & 1);
    const lanes sum = level == 1 ? narrow_level(key, leaves, 2) : gap_level(key, leaves, (size_t)1 << level, &gap, s);
    /* What is known of the sibling's side: the left children if the path turns right, else the right ones. */
    const lanes known = fold_lanes(sum) ^ of_zero ^ blend_lanes(others, zero, block_lanes(turn, turn));
    sibling = load_one_lanes(&sums[level]) ^ known;
    others ^= sibling;
    gap = gap_of(turns, level, zero, sibling);
  }
  const lanes at_leaf = (others & clear) ^ block_lanes(0, 1);
  mend(leaves, (size_t)1 << (depth - 1), gap_of(turns, depth - 1, at_leaf, sibling & clear));
  mem_wipe(&gap, sizeof gap);
  mem_wipe(s, sizeof s);
}

#endif
