/** lattice: RLWE and the encrypted matrix product. This file: the two-party linear layer (DESIGN 6.4) on additive
 * shares.
 *
 *  shares of 2^guard * (W (*) x + bias) + eps modulo 2^(ring_bits + guard_bits), eps in {-1, 0}, for a batch of
 * samples. Protocol and argument: docs/protocols/linear.md. */
#ifndef FUSION_LATTICE_LINEAR_H
#define FUSION_LATTICE_LINEAR_H

#include "base/byte_stream.h"
#include "base/layer_shape.h"
#include "lattice/params.h"
#include "net/channel.h"
#include "net/cost.h"
#include "rand/prg.h"

/** Public description of a layer. */
struct linear_layer {
  struct layer_shape shape;
  uint8_t guard_bits;
  uint8_t rlwe_set; /* from linear_choose_set: parameter set and precision of queries, see params.h */
};

/** One party's RLWE state of a session: the client's secret key, or the server's copy of the public key. */
struct rlwe;

/** How many secret keys a session has for each N: so many tiles of a layer share their uniform halves, each under a key
 *  of its own. Public, at most RLWE_KEYS_MAX. */
struct rlwe_keys {
  size_t of_ring[RLWE_RINGS];
  size_t levels; /* of keys that interleave ciphertexts of products of matrices (galois.h); 0: none */
  size_t turns;  /* of keys that interleave answers of linear layers (interleave.h); 0: none */
  size_t turned; /* secret keys of the first ring that have those: tiles of a layer with such answers */
  size_t cut;    /* how those cut ciphertexts into digits: below INTERLEAVE_CUTS */
};
/** Raises the numbers to what `layer` makes use of with `samples` samples. */
void rlwe_keys_add(struct rlwe_keys *keys, const struct linear_layer *layer, size_t samples);

/** To choose keys->turns, turned and cut: what is to be least, in bytes, of a layer in a session with these keys, and
 * of the keys themselves. */
double linear_keys_price(const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples);
double rlwe_keys_price(const struct rlwe_keys *keys);

/** Client: fresh secret keys, sends the public ones. Server: receives them. Cost: rlwe_open_cost. */
fusion_status rlwe_open_client(struct rlwe **out, struct channel *channel, const struct prg *seed,
                               const struct rlwe_keys *keys) FUSION_MUST_CHECK;
fusion_status rlwe_open_server(struct rlwe **out, struct channel *channel, const struct prg *seed,
                               const struct rlwe_keys *keys) FUSION_MUST_CHECK;
void rlwe_open_cost(struct cost *cost, const struct rlwe_keys *keys);
void rlwe_close(struct rlwe *r);

/** Other work for a party, once, where it would wait in the next layer: the server for the first query, behind what it
 *  sends before that (layout.h: common_first), the client, whose first queries have gone, for what the server sends
 *  behind its work. So what the server sends in its work meets the client's. Its failure is the layer's.
 *  Why a cheating server learns nothing: the layer's messages are the same, and the place is fixed. */
struct rlwe_meanwhile {
  fusion_status (*run)(void *context); /* NULL: none */
  void *context;                       /* borrowed */
};
void rlwe_set_meanwhile(struct rlwe *r, struct rlwe_meanwhile work);

/** The same ahead of a run that is prepared: the client keeps a seed, the server what it received, and each opens from
 *  these bytes later, with the same keys and a seed of that time, and sends nothing. What is kept serves one opening:
 *  two runs would encrypt two inputs on the same uniform halves with one key. */
fusion_status rlwe_stock_client(struct channel *channel, const struct prg *seed, const struct rlwe_keys *keys,
                                const struct byte_stream *to) FUSION_MUST_CHECK;
fusion_status rlwe_stock_server(struct channel *channel, const struct prg *seed, const struct rlwe_keys *keys,
                                const struct byte_stream *to) FUSION_MUST_CHECK;
fusion_status rlwe_begin_client(struct rlwe **out, struct channel *channel, const struct prg *seed,
                                const struct rlwe_keys *keys, const struct byte_stream *from) FUSION_MUST_CHECK;
fusion_status rlwe_begin_server(struct rlwe **out, struct channel *channel, const struct prg *seed,
                                const struct rlwe_keys *keys, const struct byte_stream *from) FUSION_MUST_CHECK;
void rlwe_stock_cost(struct cost *cost, const struct rlwe_keys *keys);
/** Bytes of a party's keys at most, with the messages that they come in. */
size_t rlwe_memory(const struct rlwe_keys *keys, enum role role);

/** FUSION_E_PEER for a layer that makes no sense, its parameter set included; FUSION_E_MEMORY. */
fusion_status linear_check(const struct linear_layer *layer) FUSION_MUST_CHECK;

/** Server, at compile time: the cheapest parameter set whose noise bound, from these very weights, leaves a failure
 *  probability below 2^-78 a ciphertext coefficient; 0 when none fits (too wide a ring or too large weights). */
uint8_t linear_choose_set(const struct linear_layer *layer, const int16_t *weights);

/** The layer on `samples` samples. ring_bits + guard_bits <= 47 or 48 (by set), guard_bits >= 1. The server's x may be
 * NULL: a share of zeros (the client's own input). Errors: FUSION_E_PEER for a layer that makes no sense (client: it
 * came in a manifest), FUSION_E_UNSUPPORTED (server), FUSION_E_MODEL for weights outside weight_bits. Shares: x
 * [samples][in_channels][in_h][in_w] modulo 2^ring_bits (higher bits ignored), y [samples][out_channels][out_h][out_w]
 * modulo 2^(ring_bits + guard_bits). weights [out][in/groups][kh][kw], bias [out]. Streams by tile: memory does not
 * grow with the number of samples beyond x and y. */
fusion_status linear_server(struct rlwe *r, const struct linear_layer *layer, const int16_t *weights,
                            const int64_t *bias, const uint64_t *x, uint64_t *y, size_t samples) FUSION_MUST_CHECK;
fusion_status linear_client(struct rlwe *r, const struct linear_layer *layer, const uint64_t *x, uint64_t *y,
                            size_t samples) FUSION_MUST_CHECK;
/** The server's next layer, begun while it waits for something else: linear_work_ahead() makes a piece of what needs no
 *  query, mostly in a fraction of a millisecond, of layers with millions of weights in some, and returns whether there
 *  was something to do. linear_server() with these weights and as many samples goes on from there; any other layer or
 *  product of matrices drops it. Nothing is sent ahead, so the messages are the same, and what fails is told by
 *  linear_server(). weights: borrowed until then. Memory: linear_memory(), and LINEAR_AHEAD_MAX bytes of answers; of
 *  layers with longer ones none is made ahead. */
enum { LINEAR_AHEAD_MAX = 4 << 20 };
void linear_begin_ahead(struct rlwe *r, const struct linear_layer *layer, const int16_t *weights, size_t samples);
bool linear_work_ahead(struct rlwe *r);
void linear_cost(struct cost *cost, const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples);
/** For predictions: ciphertexts that come and go, in those of 2,048 coefficients of two limbs; multiply-accumulates on
 *  a coefficient of one polynomial (limbs not counted); transforms of the weights of products by them; merges of
 *  ciphertexts (interleave.h) in units of one under a single key. */
struct linear_work {
  double ciphertexts, products, transforms, merges;
};
struct linear_work linear_work(const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples);
/** Peak bytes of a party. */
size_t linear_memory(const struct linear_layer *layer, size_t samples, enum role role);

#endif
