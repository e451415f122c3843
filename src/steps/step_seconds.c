#include "steps/step_seconds.h"

/* In merges, which are transforms for the most part: a transform of the weights of a product. Fitted to layers of few
 * samples (Zen 3, portable tier). */
static const double transform = 0.11;

struct engine_seconds step_seconds(const struct cost *cost, const struct engine_speeds *speeds, double correlation) {
  const double *s = speeds->seconds;
  const double correlations = (double)cost->cots_server_sends + (double)cost->cots_client_sends;
  const double both = correlations * (correlation + s[SPEED_GATE]) + cost->depth_client * s[SPEED_DELAY];
  const double from_server = (double)cost->entries_server_sends, from_client = (double)cost->entries_client_sends;
  return (struct engine_seconds){.server = both + from_server * s[SPEED_SENT] + from_client * s[SPEED_TAKEN],
                                 .client = both + from_client * s[SPEED_SENT] + from_server * s[SPEED_TAKEN]};
}

struct engine_seconds step_linear_seconds(const struct linear_layer *layer, const struct rlwe_keys *keys,
                                          size_t samples, const struct engine_speeds *speeds) {
  enum { LIMBS = 2, LAYER = 4 }; /* of a product; ciphertexts that take as long as what a layer begins and ends with */
  const double *s = speeds->seconds;
  const struct linear_work work = linear_work(layer, keys, samples);
  const double ciphertexts = LAYER + work.ciphertexts, products = LIMBS * work.products;
  const double merges = work.merges + transform * work.transforms;
  return (struct engine_seconds){
      .server = ciphertexts * s[SPEED_SERVER_CIPHER] + products * s[SPEED_PRODUCT] + merges * s[SPEED_MERGE],
      .client = ciphertexts * s[SPEED_CLIENT_CIPHER]};
}
