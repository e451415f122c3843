/** Engines whose linear layers are encrypted (lattice/linear.h), and whose other gates are exact. The
 * server's weights decide the parameter set of each layer; a section of the program holds them, a byte each in the
 * order of the steps. The section bears the name of the first engine that had it, and every such engine runs the same
 * programs. */
#ifndef FUSION_STEPS_ENCRYPTED_STEPS_H
#define FUSION_STEPS_ENCRYPTED_STEPS_H

#include "lattice/linear.h"
#include "program/operators.h"
#include "steps/step_gates.h"

#define ENCRYPTED_SECTION "cheetah"

/** The shares of a raw tensor sum to value * 2^guard + eps modulo 2^(ring + guard), where -terms <= eps <= 0 and
 *  2^guard > terms: a linear layer makes one term, a product of shared matrices two, an addition sums its inputs'. */
struct encrypted_steps {
  struct step_style style;       /* first, as step_gates.h wants; its terms are these */
  const struct program *program; /* borrowed */
  const uint8_t *guard_bits;     /* borrowed: [steps] */
  uint8_t *terms;                /* owned: [steps], 0: clean */
  uint8_t *sets;                 /* owned: [steps], rlwe_set of linear layers (lattice/params.h) */
  struct rlwe_keys keys;         /* of a session of so many samples */
};

/** Gives the model's program its section, from the weights. FUSION_E_MODEL with a line that names the layer and the
 *  remedy, FUSION_E_MEMORY. */
fusion_status encrypted_steps_prepare(struct model *model, fusion_error *err) FUSION_MUST_CHECK;
/** Fills guard_bits [steps] too, and checks that every linear layer can be laid out; the section is bytes from
 * anywhere. Errors as above; on failure there is nothing to close. */
fusion_status encrypted_steps_open(struct encrypted_steps *out, const struct program *program, uint8_t *guard_bits,
                                   size_t expected_samples, fusion_error *err) FUSION_MUST_CHECK;
void encrypted_steps_close(struct encrypted_steps *s);

struct linear_layer step_linear(const struct encrypted_steps *s, uint32_t number);

#endif
