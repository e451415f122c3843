/* The two-party linear layer against the plain convolution: every geometry, ring, guard and weight width; declared
 * costs; damaged messages. */
#include "lattice/linear.h"

#include <math.h>
#include <stdio.h>

#include "base/bits.h"
#include "base/cpu_tier.h"
#include "base/memory_stream.h"
#include "lattice/lattice_messages.h"
#include "lattice/layout.h"
#include "support/support.h"

struct job {
  struct linear_layer layer;
  size_t samples, keys; /* of the session, for every N; 0: as many as the layer makes use of */
  size_t turns, turned; /* keys that interleave answers; of so many secrets, 0: of one */
  size_t cut;           /* of those keys */
  bool ahead;           /* keys are made, kept as bytes and restored */
  bool other;           /* the server has other work before the first query */
  fusion_status other_status;
  unsigned other_runs;
  uint64_t sent_before_other;
  uint64_t fixed; /* seed of both parties' generators; 0: fresh ones */
  size_t pieces;  /* that the server makes ahead, at most */
  bool dropped;   /* which it does of another layer */
  size_t made;
  uint8_t sent[CHANNEL_HASH_LEN]; /* by the server */
  uint64_t *x_server, *x_client, *y_server, *y_client;
  int16_t *weights;
  int64_t *bias;
  struct channel *server, *client;
  fusion_status server_status, client_status;
  struct channel_stats server_stats, client_stats;
};

static size_t in_len(const struct job *j) {
  return j->samples * j->layer.shape.in_channels * j->layer.shape.in_h * j->layer.shape.in_w;
}
static size_t out_plane(const struct job *j) {
  return (size_t)j->layer.shape.out_h * j->layer.shape.out_w;
}
static size_t out_len(const struct job *j) {
  return j->samples * j->layer.shape.out_channels * out_plane(j);
}
static size_t row_count(const struct job *j) {
  return (size_t)j->layer.shape.in_channels / j->layer.shape.groups * j->layer.shape.kernel_h * j->layer.shape.kernel_w;
}

static struct rlwe_keys keys_of(const struct job *j) {
  struct rlwe_keys keys = {
      .of_ring = {j->keys, j->keys}, .turns = j->turns, .turned = size_max(1, j->turned), .cut = j->cut};
  if (!j->keys) rlwe_keys_add(&keys, &j->layer, j->samples);
  if (j->turned) keys.of_ring[0] = size_max(keys.of_ring[0], j->turned);
  return keys;
}

/* Keys made ahead go through bytes, as many as are declared, and open with a generator of another time. */
static fusion_status begin_from(struct rlwe **r, struct channel *channel, enum role role, const struct prg *prg,
                                const struct rlwe_keys *keys) {
  fusion_status status;
  struct memory_stream m;
  struct cost cost = {0};
  struct prg *later = NULL;
  const bool server = role == ROLE_SERVER;
  memory_stream_open(&m);
  TRY(prg_new_random(&later));
  TRY(server ? rlwe_stock_server(channel, prg, keys, &m.stream) : rlwe_stock_client(channel, prg, keys, &m.stream));
  rlwe_stock_cost(&cost, keys);
  assert_int_equal(m.len, server ? cost.prepared_server : cost.prepared_client);
  TRY(server ? rlwe_begin_server(r, channel, later, keys, &m.stream)
             : rlwe_begin_client(r, channel, later, keys, &m.stream));
  assert_int_equal(m.at, m.len);
cleanup:
  prg_free(later);
  memory_stream_close(&m);
  return status;
}

static fusion_status open_keys(struct rlwe **r, const struct job *j, enum role role, const struct prg *prg) {
  const struct rlwe_keys keys = keys_of(j);
  if (j->ahead) return begin_from(r, role == ROLE_SERVER ? j->server : j->client, role, prg, &keys);
  return role == ROLE_SERVER ? rlwe_open_server(r, j->server, prg, &keys) : rlwe_open_client(r, j->client, prg, &keys);
}

enum { OTHER = MESSAGE_TYPE(0xff, 1) };

/* Reads a message that the client has sent before its queries. */
static fusion_status other_work(void *context) {
  struct job *j = context;
  uint8_t word[4];
  j->other_runs++;
  j->sent_before_other = channel_get_stats(j->server).bytes_sent;
  const fusion_status status = channel_recv(j->server, OTHER, word, sizeof word);
  return status == FUSION_OK ? j->other_status : status;
}

static fusion_status generator(struct prg **out, const struct job *j, enum role role) {
  uint8_t seed[PRG_SEED_LEN] = {(uint8_t)role};
  if (!j->fixed) return prg_new_random(out);
  memcpy(seed + 8, &j->fixed, sizeof j->fixed);
  *out = prg_new(seed);
  return *out ? FUSION_OK : FUSION_E_MEMORY;
}

/* Nothing is sent or read. */
static void work_ahead(struct job *j, struct rlwe *r) {
  const struct channel_stats before = channel_get_stats(j->server);
  linear_begin_ahead(r, &j->layer, j->weights, j->dropped ? j->samples + 1 : j->samples);
  while (j->made < j->pieces && linear_work_ahead(r)) j->made++;
  if (j->made < j->pieces) assert_false(linear_work_ahead(r));
  const struct channel_stats after = channel_get_stats(j->server);
  assert_memory_equal(&before, &after, sizeof before);
}

static void *run_server(void *arg) {
  struct job *j = arg;
  struct rlwe *r = NULL;
  struct prg *prg = NULL;
  uint8_t received[CHANNEL_HASH_LEN];
  channel_record(j->server, true);
  j->server_status = generator(&prg, j, ROLE_SERVER);
  if (j->server_status == FUSION_OK) j->server_status = open_keys(&r, j, ROLE_SERVER, prg);
  if (j->server_status == FUSION_OK && j->other) rlwe_set_meanwhile(r, (struct rlwe_meanwhile){other_work, j});
  if (j->server_status == FUSION_OK && j->pieces) work_ahead(j, r);
  if (j->server_status == FUSION_OK)
    j->server_status = linear_server(r, &j->layer, j->weights, j->bias, j->x_server, j->y_server, j->samples);
  j->server_stats = channel_get_stats(j->server);
  channel_recorded(j->server, j->sent, received);
  rlwe_close(r);
  prg_free(prg);
  channel_close(j->server);
  return NULL;
}

static void *run_client(void *arg) {
  struct job *j = arg;
  struct rlwe *r = NULL;
  struct prg *prg = NULL;
  j->client_status = generator(&prg, j, ROLE_CLIENT);
  if (j->client_status == FUSION_OK) j->client_status = open_keys(&r, j, ROLE_CLIENT, prg);
  if (j->client_status == FUSION_OK && j->other) j->client_status = channel_send(j->client, OTHER, "work", 4);
  if (j->client_status == FUSION_OK)
    j->client_status = linear_client(r, &j->layer, j->x_client, j->y_client, j->samples);
  j->client_stats = channel_get_stats(j->client);
  rlwe_close(r);
  prg_free(prg);
  channel_close(j->client);
  return NULL;
}

enum fill { FILL_RANDOM, FILL_MAX, FILL_MIN, FILL_ZERO_CLIENT };

static void job_open(struct job *j, enum fill fill, uint64_t *seed) {
  j->x_server = mem_alloc(in_len(j), 8);
  j->x_client = mem_alloc(in_len(j), 8);
  j->y_server = mem_alloc(out_len(j), 8);
  j->y_client = mem_alloc(out_len(j), 8);
  j->weights = mem_alloc(j->layer.shape.out_channels * row_count(j), 2);
  j->bias = mem_alloc(j->layer.shape.out_channels, 8);
  assert_true(j->x_server && j->x_client && j->y_server && j->y_client && j->weights && j->bias);
  const int limit = 1 << (j->layer.shape.weight_bits - 1);
  for (size_t i = 0; i < in_len(j); i++) {
    j->x_server[i] = fill == FILL_RANDOM ? test_random(seed) : UINT64_MAX;
    j->x_client[i] = fill == FILL_RANDOM ? test_random(seed) : fill == FILL_ZERO_CLIENT ? 0 : UINT64_MAX;
  }
  for (size_t i = 0; i < j->layer.shape.out_channels * row_count(j); i++) {
    const int random = (int)(test_random(seed) % (2u * (unsigned)limit)) - limit;
    j->weights[i] = (int16_t)(fill == FILL_MAX ? limit - 1 : fill == FILL_MIN ? -limit : random);
  }
  for (size_t i = 0; i < j->layer.shape.out_channels; i++)
    j->bias[i] = ring_signed(test_random(seed), j->layer.shape.ring_bits);
  if (!j->layer.rlwe_set) j->layer.rlwe_set = linear_choose_set(&j->layer, j->weights);
  assert_int_not_equal(j->layer.rlwe_set, 0);
  assert_ok(channel_pipe(&j->server, &j->client));
}

static void job_close(struct job *j) {
  mem_free(j->x_server);
  mem_free(j->x_client);
  mem_free(j->y_server);
  mem_free(j->y_client);
  mem_free(j->weights);
  mem_free(j->bias);
}

/* W x + bias at one output, modulo 2^64. */
static uint64_t plain_output(const struct job *j, size_t sample, size_t out, size_t oy, size_t ox) {
  const struct layer_shape *l = &j->layer.shape;
  const size_t group_in = l->in_channels / l->groups, group = out / (l->out_channels / l->groups);
  uint64_t sum = (uint64_t)j->bias[out];
  for (size_t c = 0; c < group_in; c++) {
    for (size_t k = 0; k < (size_t)l->kernel_h * l->kernel_w; k++) {
      const size_t y = oy * l->stride_h + k / l->kernel_w * l->dilation_h - l->pad_top;
      const size_t x = ox * l->stride_w + k % l->kernel_w * l->dilation_w - l->pad_left;
      if (y >= l->in_h || x >= l->in_w) continue;
      const size_t at = ((sample * l->in_channels + group * group_in + c) * l->in_h + y) * l->in_w + x;
      const int64_t weight = j->weights[(out * group_in + c) * l->kernel_h * l->kernel_w + k];
      sum += (uint64_t)weight * (j->x_server[at] + j->x_client[at]);
    }
  }
  return sum;
}

/* Every output of small jobs, a random 20,000 of large ones. Returns which eps were seen: bit k for -k. */
static unsigned check_outputs(const struct job *j, uint64_t *seed) {
  enum { CHECKS = 20000 };
  const size_t total = out_len(j), count = size_min(total, CHECKS);
  const unsigned bits = (unsigned)j->layer.shape.ring_bits + j->layer.guard_bits;
  unsigned seen = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t at = total <= CHECKS ? i : test_random(seed) % total;
    const size_t plane = at / out_plane(j), within = at % out_plane(j);
    const uint64_t want = plain_output(j, plane / j->layer.shape.out_channels, plane % j->layer.shape.out_channels,
                                       within / j->layer.shape.out_w, within % j->layer.shape.out_w);
    assert_true((j->y_server[at] | j->y_client[at]) <= low_mask(bits));
    const uint64_t got = j->y_server[at] + j->y_client[at] - (want << j->layer.guard_bits);
    const int64_t eps = ring_signed(got, bits);
    if (eps < -1 || eps > 0) fail_msg("output %zu: eps %lld", at, (long long)eps);
    seen |= 1u << -eps;
  }
  return seen;
}

static void check_cost(const struct job *j) {
  struct cost cost = {0};
  const struct rlwe_keys keys = keys_of(j);
  rlwe_open_cost(&cost, &keys);
  linear_cost(&cost, &j->layer, &keys, j->samples);
  assert_int_equal(cost.bytes_to_server, j->client_stats.bytes_sent);
  assert_int_equal(cost.bytes_to_client, j->server_stats.bytes_sent);
  assert_int_equal(cost.messages_to_server, j->client_stats.messages_sent);
  assert_int_equal(cost.messages_to_client, j->server_stats.messages_sent);
  assert_int_equal(cost.depth_server, j->server_stats.depth);
  assert_int_equal(cost.depth_client, j->client_stats.depth);
}

static struct linear_layer dense(uint32_t in, uint32_t out, uint8_t ring, uint8_t guard, uint8_t weight) {
  return (struct linear_layer){.shape = {.in_channels = in,
                                         .in_h = 1,
                                         .in_w = 1,
                                         .out_channels = out,
                                         .out_h = 1,
                                         .out_w = 1,
                                         .groups = 1,
                                         .kernel_h = 1,
                                         .kernel_w = 1,
                                         .stride_h = 1,
                                         .stride_w = 1,
                                         .dilation_h = 1,
                                         .dilation_w = 1,
                                         .ring_bits = ring,
                                         .weight_bits = weight},
                               .guard_bits = guard};
}

/* Symmetric padding; the output size follows. */
static struct linear_layer conv(uint32_t in, uint32_t size, uint32_t out, uint32_t kernel, uint32_t stride,
                                uint32_t pad, uint32_t dilation, uint32_t groups) {
  const uint32_t out_size = (size + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
  return (struct linear_layer){.shape = {.in_channels = in,
                                         .in_h = size,
                                         .in_w = size,
                                         .out_channels = out,
                                         .out_h = out_size,
                                         .out_w = out_size,
                                         .groups = groups,
                                         .kernel_h = kernel,
                                         .kernel_w = kernel,
                                         .stride_h = stride,
                                         .stride_w = stride,
                                         .pad_top = pad,
                                         .pad_left = pad,
                                         .dilation_h = dilation,
                                         .dilation_w = dilation,
                                         .ring_bits = 24,
                                         .weight_bits = 8},
                               .guard_bits = 2};
}

static unsigned run_with(struct job j, enum fill fill, uint64_t *seed) {
  const struct linear_layer layer = j.layer;
  const size_t samples = j.samples;
  job_open(&j, fill, seed);
  print_message(
      "%ux%ux%u -> %ux%ux%u, kernel %ux%u stride %u, ring %u+%u, weights %u, %zu samples: set %u, %u dropped\n",
      layer.shape.in_channels, layer.shape.in_h, layer.shape.in_w, layer.shape.out_channels, layer.shape.out_h,
      layer.shape.out_w, layer.shape.kernel_h, layer.shape.kernel_w, layer.shape.stride_h, layer.shape.ring_bits,
      layer.guard_bits, layer.shape.weight_bits, samples, rlwe_set_id(j.layer.rlwe_set),
      rlwe_set_dropped(j.layer.rlwe_set));
  test_run_both(run_server, &j, run_client, &j);
  assert_ok(j.server_status);
  assert_ok(j.client_status);
  const unsigned seen = check_outputs(&j, seed);
  check_cost(&j);
  job_close(&j);
  return seen;
}

static unsigned run_with_keys(struct linear_layer layer, size_t samples, size_t keys, enum fill fill, uint64_t *seed) {
  return run_with((struct job){.layer = layer, .samples = samples, .keys = keys}, fill, seed);
}

static unsigned run_checked(struct linear_layer layer, size_t samples, enum fill fill, uint64_t *seed) {
  return run_with_keys(layer, samples, 0, fill, seed);
}

static void dense__every_batch_size(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  unsigned seen = 0;
  const size_t batches[] = {1, 3, 100, 868, 2048, 5000};
  for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
    seen |= run_checked(dense(37, 5, 24, 2, 8), batches[i], FILL_RANDOM, &seed);
  assert_int_equal(seen, 3); /* both roundings occur, and no other */
}

static void dense__every_width(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const uint8_t rings[] = {16, 22, 28, 33, 38, 44}, weights[] = {8, 12, 16, 2};
  for (size_t i = 0; i < sizeof rings; i++)
    run_checked(dense(64, 3, rings[i], (uint8_t)(2 + i % 2), weights[i % 4]), 130, FILL_RANDOM, &seed);
}

static void dense__extremes(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (enum fill fill = FILL_MAX; fill <= FILL_ZERO_CLIENT; fill++) {
    run_checked(dense(300, 2, 26, 2, 8), 70, fill, &seed);
    run_checked(dense(300, 2, 40, 3, 16), 70, fill, &seed);
  }
}

static void conv__every_geometry(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct linear_layer asymmetric = conv(3, 11, 4, 3, 2, 1, 1, 1);
  asymmetric.shape.pad_top = 0;
  asymmetric.shape.pad_left = 2;
  asymmetric.shape.in_w = 9;
  asymmetric.shape.out_h = 5;
  asymmetric.shape.out_w = 6;
  asymmetric.shape.stride_w = 1;
  asymmetric.shape.kernel_w = 5;
  const struct linear_layer layers[] = {
      conv(3, 14, 5, 3, 1, 1, 1, 1), conv(3, 14, 5, 3, 2, 1, 1, 1), conv(4, 9, 3, 1, 1, 0, 1, 1),
      conv(4, 9, 3, 1, 2, 0, 1, 1),  conv(1, 28, 3, 5, 1, 0, 1, 1), conv(3, 32, 4, 7, 2, 3, 1, 1),
      conv(6, 12, 6, 3, 1, 1, 1, 6), conv(6, 10, 4, 3, 1, 1, 1, 2), conv(2, 13, 3, 3, 1, 2, 2, 1),
      conv(2, 17, 3, 3, 3, 2, 2, 1), conv(3, 7, 4, 3, 1, 1, 1, 1),  conv(2, 6, 3, 6, 1, 0, 1, 1),
      conv(2, 4, 2, 3, 1, 3, 1, 1),  conv(2, 8, 4, 4, 4, 0, 1, 1),  asymmetric};
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (size_t samples = 1; samples <= 40; samples += 39) run_checked(layers[i], samples, FILL_RANDOM, &seed);
}

/* --- answers interleaved ---------------------------------------------------------------------------------------- */

/* Levels of a layer in a session with keys for so many, of so many secrets; *tiles: its tiles. */
static unsigned levels_with(const struct linear_layer *layer, size_t samples, size_t turns, size_t turned,
                            size_t *tiles) {
  struct job j = {.layer = *layer, .samples = samples, .turns = turns, .turned = turned};
  struct linear_layout l;
  uint64_t seed = 1;
  job_open(&j, FILL_RANDOM, &seed);
  const struct rlwe_keys keys = keys_of(&j);
  assert_ok(layout_make(&l, &j.layer, &keys, samples));
  const unsigned levels = l.levels;
  *tiles = l.tiles;
  layout_free(&l);
  channel_close(j.server);
  channel_close(j.client);
  job_close(&j);
  return levels;
}

static unsigned levels_of(const struct linear_layer *layer, size_t samples, size_t turns) {
  size_t tiles;
  return levels_with(layer, samples, turns, 1, &tiles);
}

static void interleaved__dense_of_few_samples(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const size_t samples[] = {1, 2, 3, 7, 16, 113, 868}, outs[] = {1, 2, 3, 10, 121, 250};
  unsigned used = 0, seen = 0;
  for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
    for (size_t k = 0; k < sizeof outs / sizeof *outs; k++) {
      const struct job j = {.layer = dense(17 + 40 * (uint32_t)k, (uint32_t)outs[k], (uint8_t)(18 + 2 * (i % 4)), 2, 8),
                            .samples = samples[i],
                            .turns = 1 + (i + k) % INTERLEAVE_LEVELS_MAX,
                            .cut = k % INTERLEAVE_CUTS};
      used |= 1u << levels_of(&j.layer, samples[i], j.turns);
      seen |= run_with(j, FILL_RANDOM, &seed);
    }
  assert_int_equal(seen, 3);
  assert_true((used & 0x3f) == 0x3f); /* none, and 1 to 5 levels at least */
  assert_int_equal(levels_of(&(struct linear_layer){.shape = dense(784, 128, 24, 2, 5).shape, .guard_bits = 2}, 113, 4),
                   4);
}

static void interleaved__conv_of_every_geometry(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct linear_layer layers[] = {
      conv(3, 14, 5, 3, 1, 1, 1, 1),  conv(3, 14, 5, 3, 2, 1, 1, 1),  conv(4, 9, 9, 1, 1, 0, 1, 1),
      conv(4, 9, 11, 1, 2, 0, 1, 1),  conv(1, 28, 6, 5, 1, 0, 1, 1),  conv(6, 12, 6, 3, 1, 1, 1, 6),
      conv(6, 10, 34, 3, 1, 1, 1, 2), conv(2, 13, 33, 3, 1, 2, 2, 1), conv(2, 17, 20, 3, 3, 2, 2, 1),
      conv(3, 7, 40, 3, 1, 1, 1, 1),  conv(2, 6, 70, 6, 1, 0, 1, 1),  conv(2, 4, 8, 3, 1, 3, 1, 1),
      conv(2, 8, 4, 4, 4, 0, 1, 1),   conv(64, 7, 64, 3, 1, 1, 1, 1), conv(128, 7, 130, 1, 1, 0, 1, 1),
      conv(64, 7, 64, 3, 1, 1, 1, 64)};
  unsigned used = 0;
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (size_t samples = 1; samples <= 5; samples += 2) {
      used |= 1u << levels_of(&layers[i], samples, INTERLEAVE_LEVELS_MAX);
      run_with((struct job){.layer = layers[i], .samples = samples, .turns = INTERLEAVE_LEVELS_MAX}, FILL_RANDOM,
               &seed);
    }
  assert_true((used & 0x1f) == 0x1f);
}

/* Keys of several secrets: tiles of one layer under each of them, the last one shorter. */
static void interleaved__several_tiles(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct linear_layer layers[] = {conv(3, 56, 9, 1, 1, 0, 1, 1),   conv(2, 56, 17, 3, 1, 1, 1, 1),
                                        conv(4, 28, 130, 1, 1, 0, 1, 1), conv(4, 28, 40, 3, 1, 1, 1, 1),
                                        conv(4, 28, 33, 3, 2, 1, 1, 1),  conv(6, 14, 70, 3, 1, 1, 1, 2),
                                        conv(5, 14, 129, 1, 2, 0, 1, 1), conv(8, 14, 40, 3, 1, 1, 1, 8),
                                        dense(100, 140, 22, 1, 8),       dense(31, 70, 30, 2, 12)};
  unsigned used = 0, seen = 0;
  bool many[RLWE_KEYS_MAX + 1] = {false};
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (size_t turned = 2; turned <= RLWE_KEYS_MAX; turned += 3) {
      const size_t samples = layers[i].shape.in_h == 1 ? 113 : 1 + i % 2;
      size_t tiles;
      const unsigned levels = levels_with(&layers[i], samples, INTERLEAVE_LEVELS_MAX, turned, &tiles);
      if (levels) used |= 1u << levels;
      if (levels) many[tiles] = true;
      const struct job j = {
          .layer = layers[i], .samples = samples, .turns = INTERLEAVE_LEVELS_MAX, .turned = turned, .cut = turned / 3};
      seen |= run_with(j, FILL_RANDOM, &seed);
    }
  assert_int_equal(seen, 3);
  assert_true((used & 0x1e) == 0x1e);
  assert_true(many[2] && many[RLWE_KEYS_MAX]);
}

static void linear__keys_made_ahead(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct linear_layer layers[] = {conv(4, 28, 40, 3, 1, 1, 1, 1), dense(37, 5, 24, 2, 8), dense(20, 3, 44, 2, 8)};
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (size_t turned = 1; turned <= 4; turned += 3)
      run_with(
          (struct job){.layer = layers[i], .samples = 1 + i, .turns = 4, .turned = turned, .cut = i, .ahead = true},
          FILL_RANDOM, &seed);
}

struct stocked {
  struct channel *channel;
  struct rlwe_keys keys;
  struct memory_stream kept;
};

static void *stock_server(void *arg) {
  struct stocked *s = arg;
  struct prg *prg = NULL;
  assert_ok(prg_new_random(&prg));
  assert_ok(rlwe_stock_server(s->channel, prg, &s->keys, &s->kept.stream));
  prg_free(prg);
  return NULL;
}

static void *stock_client(void *arg) {
  struct stocked *s = arg;
  struct prg *prg = NULL;
  assert_ok(prg_new_random(&prg));
  assert_ok(rlwe_stock_client(s->channel, prg, &s->keys, &s->kept.stream));
  prg_free(prg);
  return NULL;
}

/* What a party kept, cut short or with a number that is no residue. */
static void linear__damaged_keys_made_ahead(void **state) {
  (void)state;
  struct stocked sides[2] = {{.keys = {.of_ring = {2, 0}, .turns = 1, .turned = 2}}};
  struct rlwe *r;
  struct prg *prg = NULL;
  sides[1] = sides[0];
  for (int i = 0; i < 2; i++) memory_stream_open(&sides[i].kept);
  assert_ok(channel_pipe(&sides[0].channel, &sides[1].channel));
  test_run_both(stock_server, &sides[0], stock_client, &sides[1]);
  assert_ok(prg_new_random(&prg));
  memset(sides[0].kept.data + sides[0].kept.len - 8, 0xff, 8);
  assert_int_equal(rlwe_begin_server(&r, sides[0].channel, prg, &sides[0].keys, &sides[0].kept.stream), FUSION_E_PEER);
  assert_null(r);
  for (int i = 0; i < 2; i++) {
    sides[i].kept.at = 0;
    sides[i].kept.len--;
  }
  assert_int_not_equal(rlwe_begin_server(&r, sides[0].channel, prg, &sides[0].keys, &sides[0].kept.stream), FUSION_OK);
  assert_null(r);
  assert_int_not_equal(rlwe_begin_client(&r, sides[1].channel, prg, &sides[1].keys, &sides[1].kept.stream), FUSION_OK);
  assert_null(r);
  prg_free(prg);
  for (int i = 0; i < 2; i++) memory_stream_close(&sides[i].kept);
  for (int i = 0; i < 2; i++) channel_close(sides[i].channel);
}

/* The noise bound once more, as docs/protocols/linear.md has it, with the weights' own norms and what the layout takes
 * from public numbers alone. */
static double interleaved_bound(const struct job *j, const struct linear_layout *l) {
  const double n = (double)l->params->n, tail = 10.597, unit = ldexp(1, (int)l->kept_bits);
  const struct layer_shape *a = &j->layer.shape;
  const size_t plane = (size_t)a->kernel_h * a->kernel_w;
  double q = 1, norm_1 = 0, norm_2 = 0;
  for (size_t i = 0; i < l->params->limbs; i++) q *= (double)rlwe_primes[i];
  for (size_t o = 0; o < a->out_channels; o++) {
    double sum = 0, squares = 0;
    for (size_t r = 0; r < row_count(j); r += plane) {
      double read[4096] = {0}; /* by place in the query; without strides and dilation */
      for (size_t t = 0; t < plane; t++)
        read[t / a->kernel_w * l->pitch + t % a->kernel_w] += j->weights[o * row_count(j) + r + t];
      for (size_t k = 0; k < sizeof read / sizeof *read; k++) {
        sum += fabs(read[k]);
        squares += read[k] * read[k];
      }
    }
    norm_1 = fmax(norm_1, sum);
    norm_2 = fmax(norm_2, squares);
  }
  const double query = 10.5 + (ldexp(1, 2 * (int)l->dropped) - 1) / 12;
  const double digits[INTERLEAVE_CUTS] = {6 * 65 * 65, 5 * 129 * 129, 4 * 513 * 513}, left[] = {512, 2048, 2048};
  const double level = 10.5 * n * digits[l->cut] + left[l->cut] * left[l->cut] * n;
  const double keys = level * (ldexp(1, 2 * (int)l->levels) - 1) / 3;
  const double fresh = tail * sqrt(query * norm_2 + 10.5 * (2 * n + 1) + keys) + norm_1;
  return fresh / q * unit + (tail * sqrt(n) / 2 + 1) / ldexp(1, (int)l->params->low_bits);
}

static void interleaved__noise_stays_below_half_a_unit(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (unsigned i = 0; i < 60; i++) {
    const uint8_t ring = (uint8_t)(14 + test_random(&seed) % 20), weight = (uint8_t)(2 + test_random(&seed) % 14);
    struct job j = {.layer = dense(1 + (uint32_t)(test_random(&seed) % 900), 64, ring, 2, weight),
                    .samples = 1 + test_random(&seed) % 128,
                    .turns = INTERLEAVE_LEVELS_MAX,
                    .cut = i % INTERLEAVE_CUTS};
    struct linear_layout l;
    job_open(&j, i % 3 ? FILL_RANDOM : FILL_MIN, &seed);
    const struct rlwe_keys keys = keys_of(&j);
    assert_ok(layout_make(&l, &j.layer, &keys, j.samples));
    assert_true(l.dropped <= rlwe_set_dropped(j.layer.rlwe_set));
    if (l.levels && interleaved_bound(&j, &l) >= 0.5) fail_msg("ring %u, %u levels: too much noise", ring, l.levels);
    layout_free(&l);
    channel_close(j.server);
    channel_close(j.client);
    job_close(&j);
  }
}

/* Maps no wider than their padding: taps share numbers of the query, noise and all, so their weights add up. */
static void noise__of_taps_that_share_a_number(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  unsigned shared = 0;
  for (uint32_t kernel = 3; kernel <= 7; kernel += 2)
    for (uint32_t size = 1; size <= 4; size++)
      for (uint8_t ring = 18; ring <= 30; ring += 3) {
        struct job j = {.layer = conv(64, size, 3, kernel, 1, kernel / 2, 1, 1), .samples = 3};
        struct linear_layout l;
        j.layer.shape.ring_bits = ring;
        job_open(&j, FILL_MAX, &seed);
        const struct rlwe_keys keys = keys_of(&j);
        assert_ok(layout_make(&l, &j.layer, &keys, j.samples));
        shared += l.pitch < kernel;
        if (interleaved_bound(&j, &l) >= 0.5)
          fail_msg("kernel %u, size %u, ring %u: too much noise", kernel, size, ring);
        layout_free(&l);
        channel_close(j.server);
        channel_close(j.client);
        job_close(&j);
      }
  assert_true(shared > 10);
}

/* The widest weights and rings: what the queries may drop shrinks, then the levels do. */
static void interleaved__extremes(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  unsigned before = INTERLEAVE_LEVELS_MAX;
  for (uint8_t ring = 16; ring <= 36; ring = (uint8_t)(ring + 4)) {
    const unsigned levels = levels_of(&(struct linear_layer){dense(300, 64, ring, 2, 8).shape, 2, 0}, 4, 8);
    assert_true(levels <= before);
    before = levels;
    for (enum fill fill = FILL_MAX; fill <= FILL_ZERO_CLIENT; fill++)
      run_with(
          (struct job){.layer = dense(300, 64, ring, 2, 8), .samples = 4, .turns = 8, .cut = fill % INTERLEAVE_CUTS},
          fill, &seed);
    run_with((struct job){.layer = dense(100, 20, ring, 2, 16), .samples = 4, .turns = 8}, FILL_MIN, &seed);
  }
  assert_int_equal(before, 0);
}

static void interleaved__every_tier(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    run_with((struct job){.layer = dense(200, 70, 24, 2, 8), .samples = 5, .turns = 5, .cut = 2}, FILL_RANDOM, &seed);
    run_with((struct job){.layer = conv(3, 28, 9, 3, 1, 1, 1, 1), .samples = 1, .turns = 4, .turned = 8}, FILL_RANDOM,
             &seed);
    run_with((struct job){.layer = conv(3, 15, 7, 3, 2, 1, 1, 1), .samples = 3, .turns = 3}, FILL_RANDOM, &seed);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

static void conv__wide_image_over_several_tiles(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct linear_layer layer = conv(2, 112, 2, 3, 1, 1, 1, 1);
  run_checked(layer, 1, FILL_RANDOM, &seed);
  layer = conv(1, 300, 1, 5, 2, 2, 3, 1); /* reach beyond half of N = 2048 */
  run_checked(layer, 1, FILL_RANDOM, &seed);
}

/* Bundles: full ones and a last one of fewer tiles, by the number of tiles and by that of the session's keys. */
static void linear__every_number_of_keys(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct linear_layer layer = conv(2, 30, 3, 3, 1, 1, 1, 1); /* 961 lanes a sample */
  struct linear_layout l;
  struct linear_layer probe = layer;
  probe.rlwe_set = rlwe_set_make(1, 0);
  assert_ok(layout_make(&l, &probe, NULL, 21));
  assert_true(l.tiles == 11 && l.bundle == 6); /* two bundles, of 6 and 5 */
  layout_free(&l);
  for (size_t keys = 0; keys <= RLWE_KEYS_MAX; keys++) run_with_keys(layer, 21, keys, FILL_RANDOM, &seed);
  run_with_keys(dense(30, 130, 24, 2, 8), 2 * 2048 * RLWE_KEYS_MAX + 1, 0, FILL_RANDOM, &seed);
  for (unsigned id = 2; id <= RLWE_SETS; id++) {
    struct linear_layer wide = dense(5, 3, 20, 2, 8);
    wide.rlwe_set = rlwe_set_make(id, 0);
    run_with_keys(wide, 3 * 4096, 2, FILL_RANDOM, &seed);
  }
}

/* Messages of several groups, of parts of a group, and a group of two unequal parts. */
static void linear__every_cut_of_outputs(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const uint32_t outs[] = {119, 120, 121, 128, 250}, groups[] = {1, 2, 7, 60};
  for (size_t i = 0; i < sizeof outs / sizeof *outs; i++)
    run_checked(dense(3, outs[i], 20, 2, 8), 40, FILL_RANDOM, &seed);
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
    run_checked(conv(2 * groups[i], 5, 9 * groups[i], 3, 1, 1, 1, groups[i]), 3, FILL_RANDOM, &seed);
  run_checked(conv(4, 5, 300, 1, 1, 0, 1, 2), 3, FILL_RANDOM, &seed);
}

/* Query and c1 too long to be under way at once: the server waits for the query. */
static void linear__long_messages_take_turns(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct linear_layer layer = dense(4608, 4608, 20, 2, 8);
  layer.shape.groups = 4608;
  layer.rlwe_set = rlwe_set_make(1, 0);
  struct linear_layout l;
  assert_ok(layout_make(&l, &layer, NULL, 1200));
  assert_true(!l.common_first && l.window == 1);
  layout_free(&l);
  run_checked(layer, 1200, FILL_RANDOM, &seed);
}

/* --- no two queries under one uniform half and one key -------------------------------------------------------------
 */

enum { ASKED_LAYERS = 2, ASKED_TILES = 10 };

struct asked {
  struct channel *server, *client;
  struct linear_layer layer;
  size_t samples;
  uint64_t *queries; /* [ASKED_LAYERS * ASKED_TILES][2048] */
  fusion_status status;
};

static void *ask_zeros(void *arg) {
  struct asked *a = arg;
  struct rlwe *r = NULL;
  struct prg *prg = NULL;
  struct rlwe_keys keys = {0};
  rlwe_keys_add(&keys, &a->layer, a->samples);
  uint64_t *x = mem_alloc(a->samples, 8), *y = mem_alloc(a->samples, 8);
  a->status = prg_new_random(&prg);
  if (a->status == FUSION_OK) a->status = rlwe_open_client(&r, a->client, prg, &keys);
  for (int k = 0; k < ASKED_LAYERS && a->status == FUSION_OK; k++)
    a->status = linear_client(r, &a->layer, x, y, a->samples);
  rlwe_close(r);
  prg_free(prg);
  mem_free(x);
  mem_free(y);
  return NULL;
}

/* A server that only keeps what it is sent, and answers with zeros. */
static void *keep_queries(void *arg) {
  struct asked *a = arg;
  struct linear_layout l;
  uint8_t *message = mem_alloc(1 << 20, 1);
  size_t len;
  uint8_t *key;
  assert_ok(layout_make(&l, &a->layer, NULL, a->samples));
  assert_true(l.tiles == ASKED_TILES && l.bundle == ASKED_TILES / 2);
  assert_ok(channel_recv_sized(a->server, MSG_RLWE_KEY, CHANNEL_FRAME_MAX, &key, &len));
  mem_free(key);
  for (size_t k = 0; k < (size_t)ASKED_LAYERS * ASKED_TILES; k++) {
    const size_t t = k % ASKED_TILES;
    assert_ok(channel_recv(a->server, MSG_RLWE_QUERY, message, layout_query_len(&l, t)));
    bits_unpack(a->queries + k * 2048, message, layout_tile_lanes(&l, t), l.query_bits);
    memset(message, 0, layout_common_len(&l, 1));
    if (t % l.bundle == 0) assert_ok(channel_send(a->server, MSG_RLWE_COMMON, message, layout_common_len(&l, 1)));
    assert_ok(channel_send(a->server, MSG_RLWE_ANSWER, message, layout_answer_len(&l, t, 1)));
    assert_ok(channel_flush(a->server));
  }
  layout_free(&l);
  mem_free(message);
  return NULL;
}

/* All inputs are zero: two queries with one uniform half and one key would differ by small noise alone. */
static void linear_client__never_repeats_a_key_on_its_uniform_half(void **state) {
  (void)state;
  enum { LANES = 2000, NEAR_BITS = 40 };
  struct asked a = {.layer = dense(1, 1, 20, 2, 8), .samples = (size_t)ASKED_TILES * LANES + 40};
  a.layer.rlwe_set = rlwe_set_make(1, 0);
  a.queries = mem_alloc((size_t)ASKED_LAYERS * ASKED_TILES * 2048, 8);
  assert_non_null(a.queries);
  assert_ok(channel_pipe(&a.server, &a.client));
  test_run_both(keep_queries, &a, ask_zeros, &a);
  assert_ok(a.status);
  for (size_t i = 0; i < (size_t)ASKED_LAYERS * ASKED_TILES; i++) {
    for (size_t j = 0; j < i; j++) {
      size_t near = 0;
      for (size_t k = 0; k < LANES; k++) {
        const int64_t d = (int64_t)(a.queries[i * 2048 + k] - a.queries[j * 2048 + k]);
        near += d < (INT64_C(1) << NEAR_BITS) && d > -(INT64_C(1) << NEAR_BITS);
      }
      if (near > 10) fail_msg("queries %zu and %zu are near in %zu of %d places", i, j, near, (int)LANES);
    }
  }
  channel_close(a.server);
  channel_close(a.client);
  mem_free(a.queries);
}

static void linear__session_without_key(void **state) {
  (void)state;
  struct linear_layout l;
  struct linear_layer layer = dense(20, 3, 20, 2, 8);
  layer.rlwe_set = rlwe_set_make(1, 0);
  assert_int_equal(layout_make(&l, &layer, &(struct rlwe_keys){.of_ring = {0, 3}}, 1), FUSION_E_INTERNAL);
}

/* Every set by hand, nothing dropped. */
static void dense__every_set(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (unsigned id = 1; id <= RLWE_SETS; id++) {
    struct linear_layer layer = dense(20, 3, 20, 2, 8);
    layer.rlwe_set = rlwe_set_make(id, 0);
    run_checked(layer, 900, FILL_RANDOM, &seed);
  }
}

static void layer__impossible_is_refused(void **state) {
  (void)state;
  struct linear_layout l;
  struct linear_layer layer = dense(20, 3, 20, 2, 8);
  layer.rlwe_set = rlwe_set_make(0, 0);
  assert_int_equal(layout_make(&l, &layer, NULL, 1), FUSION_E_PEER);
  layer.rlwe_set = rlwe_set_make(1, 0);
  assert_int_equal(layout_make(&l, &layer, NULL, 0), FUSION_E_PEER);
  assert_int_equal(layout_make(&l, &layer, NULL, SIZE_MAX), FUSION_E_PEER);
  layer.shape.ring_bits = 60;
  assert_int_equal(layout_make(&l, &layer, NULL, 1), FUSION_E_PEER);
  layer = conv(UINT32_MAX, UINT32_MAX, UINT32_MAX, 3, 1, 1, 1, 1);
  layer.rlwe_set = rlwe_set_make(1, 0);
  assert_int_equal(layout_make(&l, &layer, NULL, 1), FUSION_E_PEER);
  layer = conv(4, 8, 4, 3, 1, 1, 1, 3); /* groups do not divide */
  layer.rlwe_set = rlwe_set_make(1, 0);
  assert_int_equal(layout_make(&l, &layer, NULL, 1), FUSION_E_PEER);
  layer = conv(4, 8, 4, 3, 1, 1, 1, 1);
  layer.rlwe_set = rlwe_set_make(1, 0);
  layer.shape.stride_w = 0;
  assert_int_equal(layout_make(&l, &layer, NULL, 1), FUSION_E_PEER);
}

static void choose_set__too_wide_is_refused(void **state) {
  (void)state;
  const int16_t weights[2] = {INT16_MAX, INT16_MIN};
  struct linear_layer layer = dense(2, 1, 44, 3, 16);
  assert_int_not_equal(linear_choose_set(&layer, weights), 0);
  layer.shape.ring_bits = 46;
  assert_int_equal(linear_choose_set(&layer, weights), 0);
}

/* More queries than may be ahead of their answers: two more delays, and no deadlock. */
static void dense__queries_beyond_the_window(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct linear_layer layer = dense(400, 1, 20, 2, 8);
  layer.rlwe_set = rlwe_set_make(3, 0);
  struct linear_layout l;
  assert_ok(layout_make(&l, &layer, NULL, 9000));
  assert_true(l.tiles == 3 && l.window == 2);
  layout_free(&l);
  struct cost cost = {0};
  linear_cost(&cost, &layer, NULL, 9000);
  assert_int_equal(cost.depth_client, 4);
  run_checked(layer, 9000, FILL_RANDOM, &seed);
}

/* The input layer: the server has no share. */
static void linear__server_without_share(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct job j = {.layer = conv(3, 10, 4, 3, 1, 1, 1, 1), .samples = 3};
  job_open(&j, FILL_RANDOM, &seed);
  uint64_t *zeros = j.x_server;
  j.x_server = NULL;
  test_run_both(run_server, &j, run_client, &j);
  assert_ok(j.server_status);
  assert_ok(j.client_status);
  memset(zeros, 0, in_len(&j) * sizeof *zeros);
  j.x_server = zeros;
  check_outputs(&j, &seed);
  job_close(&j);
}

/* Bytes of the uniform halves of the first bundle. */
static uint64_t common_bytes(const struct job *j) {
  const struct rlwe_keys keys = keys_of(j);
  struct linear_layout l;
  uint64_t sum = 0;
  assert_ok(layout_make(&l, &j->layer, &keys, j->samples));
  assert_true(l.common_first);
  for (size_t out = 0, end; out < j->layer.shape.out_channels; out = end) {
    end = layout_message_end(&l, out);
    const size_t answers = layout_answers_between(&l, out, end);
    if (answers) sum += CHANNEL_HEADER_LEN + layout_common_len(&l, answers);
  }
  layout_free(&l);
  return sum;
}

/* Once, when what needs no query has been sent and no query been read; its failure ends the layer. */
static void linear__other_work_before_the_first_query(void **state) {
  (void)state;
  static const struct job jobs[] = {{.samples = 5000, .keys = 1}, {.samples = 3, .keys = 2, .turns = 5, .turned = 2}};
  uint64_t seed = test_seed();
  for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
    for (int fails = 0; fails < 2; fails++) {
      struct job j = jobs[i];
      j.layer = i ? conv(1, 28, 32, 3, 1, 1, 1, 1) : dense(20, 40, 20, 2, 8);
      j.other = true;
      j.other_status = fails ? FUSION_E_CRYPTO : FUSION_OK;
      job_open(&j, FILL_RANDOM, &seed);
      test_run_both(run_server, &j, run_client, &j);
      assert_int_equal(j.other_runs, 1);
      assert_true(j.sent_before_other >= common_bytes(&j));
      assert_int_equal(j.server_status, j.other_status);
      if (fails) {
        assert_int_equal(j.client_status, FUSION_E_CLOSED);
        assert_int_equal(j.server_stats.bytes_sent, j.sent_before_other);
      } else {
        assert_ok(j.client_status);
        check_outputs(&j, &seed);
      }
      job_close(&j);
    }
}

/* Whatever the server has made ahead of its query, it sends the same bytes: of layers with and without interleaved
 * answers, with products row by row, by windows and by transforms, of one bundle and of several; of layers whose first
 * query comes before their answers it makes nothing. What was begun of another layer is dropped. */
static void linear__made_ahead_is_the_same(void **state) {
  (void)state;
  struct linear_layer long_messages = dense(4608, 4608, 20, 2, 8);
  long_messages.shape.groups = 4608;
  long_messages.rlwe_set = rlwe_set_make(1, 0);
  const struct job jobs[] = {
      {.layer = dense(100, 140, 22, 1, 8), .samples = 113, .turns = INTERLEAVE_LEVELS_MAX},
      {.layer = conv(4, 28, 130, 1, 1, 0, 1, 1), .samples = 2, .turns = INTERLEAVE_LEVELS_MAX, .turned = 3},
      {.layer = conv(3, 14, 40, 7, 1, 3, 1, 1), .samples = 1, .turns = 4},
      {.layer = conv(6, 14, 70, 3, 1, 1, 1, 2), .samples = 60},
      {.layer = dense(37, 50, 24, 2, 8), .samples = 5000, .keys = 1},
      {.layer = long_messages, .samples = 1200},
  };
  const size_t pieces[] = {0, 1, 2, 3, 7, SIZE_MAX};
  uint64_t seed = test_seed();
  for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
    const uint64_t same = seed, fixed = test_random(&seed) | 1;
    uint8_t first[CHANNEL_HASH_LEN];
    for (size_t k = 0; k < 2 * sizeof pieces / sizeof *pieces; k++) {
      struct job j = jobs[i];
      uint64_t own = same;
      j.fixed = fixed;
      j.pieces = pieces[k / 2];
      j.dropped = k % 2;
      job_open(&j, FILL_RANDOM, &own);
      test_run_both(run_server, &j, run_client, &j);
      assert_ok(j.server_status);
      assert_ok(j.client_status);
      check_outputs(&j, &own);
      check_cost(&j);
      /* Of what was dropped the server's generator has moved on. */
      if (k == 0) memcpy(first, j.sent, sizeof first);
      if (!j.dropped) assert_memory_equal(first, j.sent, sizeof first);
      const bool none = i + 1 == sizeof jobs / sizeof *jobs;
      if (j.pieces == SIZE_MAX) assert_true(none ? j.made == 1 : j.made >= 3); /* opened; expanded; answers */
      job_close(&j);
    }
  }
}

/* Deviation of the noise of output `out`, in units of the lowest kept bit, `dropped` bits of the query left out: what
 * linear.c bounds, with true variances (uniform: width^2 / 12; ternary: 2 / 3) instead of sub-Gaussian ones. */
static double noise_deviation(const struct job *j, size_t out, unsigned dropped) {
  const struct rlwe_params *p = rlwe_params_find(rlwe_set_id(j->layer.rlwe_set));
  const double n = (double)p->n, variance = RLWE_NOISE_PAIRS / 2.0, ternary = 2.0 / 3;
  double q = 1, squares = 0;
  for (size_t k = 0; k < p->limbs; k++) q *= rlwe_primes[k];
  for (size_t r = 0; r < row_count(j); r++) squares += pow(j->weights[out * row_count(j) + r], 2);
  const double rows = (variance + ldexp(1, 2 * (int)dropped) / 12) * squares;
  const double zero = variance * (2 * n * ternary + 1), unit = exp2(j->layer.shape.ring_bits + j->layer.guard_bits) / q;
  const double rounding = n * ternary / 12 / exp2(2.0 * p->low_bits);
  return sqrt((rows + zero) * unit * unit + rounding);
}

/* Mean of max(|x| - limit, 0) for normal x. */
static double mean_excess(double deviation, double limit) {
  const double at = limit / deviation;
  return deviation * sqrt(2 / acos(-1)) * exp(-at * at / 2) - limit * erfc(at / sqrt(2));
}

/* Values that are wrong as `more` bits are dropped than linear_choose_set allows, and how many are expected. */
static size_t count_wrong(unsigned more, double *expected, uint64_t *seed) {
  enum { OUT = 4 };
  struct job j = {.layer = dense(256, OUT, 24, 2, 8), .samples = 1000};
  job_open(&j, FILL_RANDOM, seed);
  const uint8_t chosen = j.layer.rlwe_set;
  const unsigned dropped = rlwe_set_dropped(chosen) + more;
  j.layer.rlwe_set = rlwe_set_make(rlwe_set_id(chosen), dropped);
  test_run_both(run_server, &j, run_client, &j);
  assert_ok(j.server_status);
  assert_ok(j.client_status);
  size_t wrong = 0;
  *expected = 0;
  for (size_t i = 0; i < out_len(&j); i++) {
    const uint64_t want = plain_output(&j, i / OUT, i % OUT, 0, 0);
    const int64_t eps = ring_signed(j.y_server[i] + j.y_client[i] - (want << 2), 26);
    wrong += eps < -1 || eps > 0;
    /* Noise n beyond 1/2 is seen where the uniform parts that both drop leave room: with probability |n| - 1/2. */
    const double deviation = noise_deviation(&j, i % OUT, dropped);
    *expected += mean_excess(deviation, 0.5) - mean_excess(deviation, 1.5);
  }
  job_close(&j);
  return wrong;
}

/* The noise is what the bound says. Nobody sees it where values are right, so queries drop more bits than
 * linear_choose_set allows: as many values are wrong as noise of that deviation makes. */
static void choose_set__noise_has_the_deviation_of_the_bound(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (unsigned more = 6; more <= 8; more++) {
    double expected;
    const size_t wrong = count_wrong(more, &expected, &seed);
    print_message("%u bits more: %zu values are wrong, %.1f expected\n", more, wrong, expected);
    assert_true(expected > 100);
    assert_true(fabs((double)wrong - expected) < 6 * sqrt(expected));
  }
}

static void linear__bad_weights_and_manifest(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct job j = {.layer = dense(8, 2, 20, 2, 8), .samples = 2};
  job_open(&j, FILL_RANDOM, &seed);
  j.weights[5] = 128; /* one beyond 8 bits */
  test_run_both(run_server, &j, run_client, &j);
  assert_int_equal(j.server_status, FUSION_E_MODEL);
  assert_int_not_equal(j.client_status, FUSION_OK);
  job_close(&j);
  j = (struct job){.layer = dense(8, 2, 20, 2, 8), .samples = 2, .pieces = SIZE_MAX};
  job_open(&j, FILL_RANDOM, &seed);
  j.weights[5] = 128;
  test_run_both(run_server, &j, run_client, &j);
  assert_int_equal(j.made, 1); /* the failure is told by the layer */
  assert_int_equal(j.server_status, FUSION_E_MODEL);
  assert_int_not_equal(j.client_status, FUSION_OK);
  job_close(&j);
  j = (struct job){.layer = dense(8, 2, 20, 2, 8), .samples = 2};
  job_open(&j, FILL_RANDOM, &seed);
  j.layer.shape.kernel_w = 0;
  test_run_both(run_server, &j, run_client, &j);
  assert_int_equal(j.server_status, FUSION_E_UNSUPPORTED);
  assert_int_equal(j.client_status, FUSION_E_PEER);
  j.layer.shape.kernel_w = 1;
  job_close(&j);
}

static void linear_memory__covers_the_parts(void **state) {
  (void)state;
  struct linear_layer layer = dense(784, 128, 26, 2, 8);
  layer.rlwe_set = rlwe_set_make(1, 10);
  /* At least the ciphertexts: two limbs, two polynomials. */
  assert_true(linear_memory(&layer, 2048, ROLE_SERVER) > (size_t)784 * 2048 * 2 * 2 * 4);
  assert_true(linear_memory(&layer, 2048, ROLE_SERVER) < (size_t)784 * 2048 * 2 * 2 * 4 * 3);
  assert_true(linear_memory(&layer, 2048, ROLE_CLIENT) < (size_t)784 * 2048 * 8 * 2);
  assert_true(linear_memory(&layer, 20480, ROLE_SERVER) == linear_memory(&layer, 2048, ROLE_SERVER));
  assert_int_equal((uint64_t)linear_work(&layer, NULL, 4096).products, (uint64_t)784 * 128 * (2048 + 4096));
}

/* --- a network that damages one message ----------------------------------------------------------------------------
 */

enum { MESSAGES = 4 };

enum damage { DAMAGE_NONE, DAMAGE_FLIP, DAMAGE_TRUNCATE, DAMAGE_SILENCE };

struct relay {
  struct channel *to_server, *to_client; /* the relay's ends */
  size_t damaged;                        /* number of the message */
  enum damage damage;
  uint64_t seed;
};

/* Passes on the messages of a layer of one tile. */
static void *run_relay(void *arg) {
  struct relay *r = arg;
  const message_type types[MESSAGES] = {MSG_RLWE_KEY, MSG_RLWE_QUERY, MSG_RLWE_COMMON, MSG_RLWE_ANSWER};
  for (size_t k = 0; k < MESSAGES; k++) {
    struct channel *in = k >= 2 ? r->to_server : r->to_client, *out = k >= 2 ? r->to_client : r->to_server;
    uint8_t *data = NULL;
    size_t len = 0;
    if (channel_recv_sized(in, types[k], CHANNEL_FRAME_MAX, &data, &len) != FUSION_OK) break;
    const bool here = k == r->damaged;
    if (here && r->damage == DAMAGE_FLIP)
      data[test_random(&r->seed) % len] ^= (uint8_t)(1u << test_random(&r->seed) % 8);
    if (here && r->damage == DAMAGE_TRUNCATE) len--;
    const bool stop = here && r->damage == DAMAGE_SILENCE;
    const bool sent = !stop && channel_send(out, types[k], data, len) == FUSION_OK && channel_flush(out) == FUSION_OK;
    mem_free(data);
    if (!sent) break;
  }
  channel_close(r->to_server);
  channel_close(r->to_client);
  return NULL;
}

static void *run_server_and_relay(void *arg) {
  void **both = arg;
  test_run_both(run_server, both[0], run_relay, both[1]);
  return NULL;
}

static void linear__damaged_message(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t round = 0; round < 60; round++) {
    struct relay r = {
        .damaged = round % MESSAGES, .damage = (enum damage)(1 + round / MESSAGES % 3), .seed = seed + round};
    if (round >= 54) r.damage = DAMAGE_NONE;
    struct job j = {.layer = conv(2, 6, 3, 3, 1, 1, 1, 1), .samples = 2};
    job_open(&j, FILL_RANDOM, &seed);
    channel_close(j.server);
    channel_close(j.client);
    assert_ok(channel_pipe(&j.server, &r.to_server));
    assert_ok(channel_pipe(&r.to_client, &j.client));
    void *both[2] = {&j, &r};
    test_run_both(run_server_and_relay, both, run_client, &j);
    if (r.damage == DAMAGE_NONE) {
      assert_ok(j.server_status);
      assert_ok(j.client_status);
      check_outputs(&j, &seed);
    } else if (r.damage == DAMAGE_FLIP) {
      /* Any bits make a ciphertext; a key's residue may be refused. */
      if (r.damaged == 0 && j.server_status != FUSION_OK) {
        assert_int_equal(j.server_status, FUSION_E_PEER);
        assert_int_not_equal(j.client_status, FUSION_OK);
      } else {
        assert_ok(j.server_status);
        assert_ok(j.client_status);
      }
    } else {
      assert_int_not_equal(j.client_status, FUSION_OK);
      if (r.damaged < 2) assert_int_not_equal(j.server_status, FUSION_OK);
    }
    job_close(&j);
  }
}

static void linear__every_tier(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    run_checked(dense(33, 7, 25, 2, 8), 868, FILL_RANDOM, &seed);
    run_checked(dense(33, 7, 39, 3, 16), 868, FILL_RANDOM, &seed);
    run_checked(conv(3, 15, 7, 3, 2, 1, 1, 1), 9, FILL_RANDOM, &seed);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dense__every_batch_size),
      cmocka_unit_test(dense__every_width),
      cmocka_unit_test(dense__extremes),
      cmocka_unit_test(dense__every_set),
      cmocka_unit_test(linear__every_number_of_keys),
      cmocka_unit_test(linear__every_cut_of_outputs),
      cmocka_unit_test(linear__long_messages_take_turns),
      cmocka_unit_test(linear__session_without_key),
      cmocka_unit_test(linear_client__never_repeats_a_key_on_its_uniform_half),
      cmocka_unit_test(conv__every_geometry),
      cmocka_unit_test(conv__wide_image_over_several_tiles),
      cmocka_unit_test(interleaved__dense_of_few_samples),
      cmocka_unit_test(interleaved__conv_of_every_geometry),
      cmocka_unit_test(interleaved__several_tiles),
      cmocka_unit_test(linear__keys_made_ahead),
      cmocka_unit_test(linear__damaged_keys_made_ahead),
      cmocka_unit_test(interleaved__extremes),
      cmocka_unit_test(interleaved__noise_stays_below_half_a_unit),
      cmocka_unit_test(noise__of_taps_that_share_a_number),
      cmocka_unit_test(interleaved__every_tier),
      cmocka_unit_test(dense__queries_beyond_the_window),
      cmocka_unit_test(linear__every_tier),
      cmocka_unit_test(linear__server_without_share),
      cmocka_unit_test(linear__other_work_before_the_first_query),
      cmocka_unit_test(linear__made_ahead_is_the_same),
      cmocka_unit_test(linear__bad_weights_and_manifest),
      cmocka_unit_test(linear_memory__covers_the_parts),
      cmocka_unit_test(choose_set__noise_has_the_deviation_of_the_bound),
      cmocka_unit_test(linear__damaged_message),
      cmocka_unit_test(layer__impossible_is_refused),
      cmocka_unit_test(choose_set__too_wide_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
