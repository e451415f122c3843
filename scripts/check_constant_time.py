#!/usr/bin/env python3
"""Divisions and early-out comparisons where secrets are handled.

The time of a division depends on its operands, and a memory checker does not see it (tests/adversary/constant_time_test.c
sees branches and addresses). So every `/` and `%` in these files whose divisor is not a constant must be listed here
with the reason why its operands are public. Constant divisors compile to multiplications. memcmp and its like stop at
the first difference: comparisons of secrets use sodium_memcmp. And every function of libsodium that they call carries its
marks for MemorySanitizer (tests/adversary/msan_border.c).

usage: check_constant_time.py SOURCE_ROOT
"""
import pathlib
import re
import sys

PLACES = ["src/base/bits*.[ch]", "src/lattice/**/*.[ch]", "src/slots/**/*.[ch]", "src/ot/**/*.[ch]", "src/silent/**/*.[ch]", "src/garble/**/*.[ch]", "src/gates/**/*.[ch]", "src/engine/aby/*.[ch]", "src/engine/cheetah/*.[ch]", "src/engine/delphi/*.[ch]", "src/steps/*.[ch]", "src/engine/sci_he/*.[ch]", "src/engine/sci_ot/*.[ch]", "src/engine/walk.[ch]", "src/engine/walk_output.c", "src/program/op_*.c", "src/rand/**/*.[ch]"]
SHAPES = "shapes and sizes of a layer, public in the manifest"
PLAN = "parameter sets, expectation and counts taken so far, the same on both sides"
TABLE = "tables made from the public primes when a session opens"

# (file, divisor as written, reason)
ALLOWED = [
    ("src/base/bits_kernels_c.c", "bits", "width of a field"),
    ("src/base/bits_kernels_avx2.c", "bits", "width of a field"),
    ("src/base/bits_kernels_avx512.c", "bits", "width of a field"),
    ("src/base/bits_kernels_neon.c", "bits", "width of a field"),
    ("src/lattice/lattice_kernels_common.h", "m.p", TABLE),
    ("src/lattice/lattice_kernels_neon.c", "m->p", TABLE),
    ("src/lattice/lattice_kernels_common.h", "mod.p", TABLE),
    ("src/lattice/lattice_kernels_common.h", "group_outs", SHAPES),
    ("src/lattice/layout.c", "a->groups", SHAPES),
    ("src/lattice/layout.c", "a->stride_h", SHAPES),
    ("src/lattice/layout.c", "a->stride_w", SHAPES),
    ("src/lattice/layout.c", "phases", SHAPES),
    ("src/lattice/layout.c", "l->pitch", SHAPES),
    ("src/lattice/layout.c", "l->sample_pitch", SHAPES),
    ("src/lattice/layout.c", "l->layer.shape.groups", SHAPES),
    ("src/lattice/layout.c", "l->packed", SHAPES),
    ("src/lattice/layout.c", "(", SHAPES),
    ("src/lattice/layout.c", "l->stride", SHAPES),
    ("src/lattice/layout.h", "l->layer.shape.groups", SHAPES),
    ("src/lattice/layout.h", "l->taps", SHAPES),
    ("src/lattice/window_product.c", "wp->step", SHAPES),
    ("src/lattice/window_product.c", "l->packed", SHAPES),
    ("src/lattice/window_product.c", "l->taps", SHAPES),
    ("src/lattice/layout.c", "l->group_outs", SHAPES),
    ("src/lattice/layout.c", "query", SHAPES),
    ("src/lattice/layout.c", "stride", SHAPES),
    ("src/lattice/linear_noise.c", "exp2", "noise bound of a parameter set, at compile time by the model's owner, or from public numbers"),
    ("src/lattice/linear_noise.c", "modulus", "noise bound of a parameter set, at compile time by the model's owner, or from public numbers"),
    ("src/lattice/linear_noise.c", "(", "noise bound of a layer, from public numbers"),
    ("src/lattice/turn_key.c", "mod->p", TABLE),
    ("src/lattice/turn_key.c", "n", "index of a value in a message"),
    ("src/lattice/linear.c", "l->bundle", SHAPES),
    ("src/lattice/linear_client.c", "l->bundle", SHAPES),
    ("src/lattice/linear_client.c", "l.bundle", SHAPES),
    ("src/lattice/linear_server.c", "l->bundle", SHAPES),
    ("src/lattice/linear_server.c", "l->group_outs", SHAPES),
    ("src/lattice/linear_server.c", "l->layer.shape.groups", SHAPES),
    ("src/lattice/linear_server.c", "l->packed", SHAPES),
    ("src/lattice/linear_server.c", "m->p", TABLE),
    ("src/lattice/linear_server.c", "n", SHAPES),
    ("src/lattice/linear_server.c", "l->taps", SHAPES),
    ("src/lattice/galois.c", "p", TABLE),
    ("src/lattice/matrix_layout.c", "last", SHAPES),
    ("src/lattice/matrix_layout.c", "q", SHAPES),
    ("src/lattice/matrix_layout.c", "low", SHAPES),
    ("src/lattice/matrix_layout.c", "l.stride", SHAPES),
    ("src/lattice/matrix_layout.c", "matrix_query_len", SHAPES),
    ("src/lattice/matrix_layout.c", "l->group_units", SHAPES),
    ("src/lattice/matrix_layout.c", "l->term", SHAPES),
    ("src/lattice/matrix_layout.c", "t->rows", SHAPES),
    ("src/lattice/matrix_layout.c", "l->chunk", SHAPES),
    ("src/lattice/matrix_layout.c", "l->stride", SHAPES),
    ("src/lattice/matrix_server.c", "m->p", TABLE),
    ("src/gates/matmul.c", "size_max", SHAPES),
    ("src/gates/product_cot.c", "c.bits", SHAPES),
    ("src/gates/product_cot.c", "(", SHAPES),
    ("src/gates/product_cot.c", "c->bits", SHAPES),
    ("src/gates/product_cot.c", "pad_len", SHAPES),
    ("src/gates/product_cot.c", "a_block", SHAPES),
    ("src/gates/layer_rows.c", "shape->groups", SHAPES),
    ("src/gates/layer_rows.c", "l->per_row", SHAPES),
    ("src/gates/layer_rows.c", "l->depth", SHAPES),
    ("src/gates/layer_rows.c", "taps", SHAPES),
    ("src/gates/layer_rows.c", "l->plane", SHAPES),
    ("src/gates/layer_rows.c", "q->out_w", SHAPES),
    ("src/gates/layer_rows.c", "q->kernel_w", SHAPES),
    ("src/gates/triples.c", "l->columns", SHAPES),
    ("src/gates/triples_matrix.c", "l->per_row", SHAPES),
    ("src/engine/sci_ot/sci_ot_layout.c", "0x1p30", SHAPES),
    ("src/engine/aby/aby_layout.c", "0x1p30", SHAPES),
    ("src/program/op_linear.c", "s->groups", SHAPES),
    ("src/program/op_pool.c", "step", SHAPES),
    ("src/lattice/modular.c", "p", TABLE),
    ("src/lattice/modular.h", "p", TABLE),
    ("src/lattice/ntt.c", "n", TABLE),
    ("src/lattice/ntt.c", "p", TABLE),
    ("src/lattice/rlwe.c", "n", "index of a value in a message"),
    ("src/lattice/rlwe.c", "params->limbs", "index of a value in a message"),
    ("src/lattice/rlwe.c", "p", TABLE),
    ("src/engine/sci_he/sci_he_layout.c", "0x1p30", "predicted bytes of a program"),
    ("src/slots/slots_client.c", "t", TABLE),
    ("src/slots/slots_client.c", "m.p", TABLE),
    ("src/slots/slots_client.c", "(", TABLE),
    ("src/slots/slots_keys.c", "(", "index of a value, or a table made from public primes"),
    ("src/slots/slots_keys.c", "limbs", "index of a value, or a table made from public primes"),
    ("src/slots/slots_layout.c", "b", SHAPES),
    ("src/slots/slots_layout.c", "layer->groups", SHAPES),
    ("src/slots/slots_layout.c", "l->grid_w", SHAPES),
    ("src/slots/slots_layout.c", "slots", SHAPES),
    ("src/slots/slots_layout.c", "(", SHAPES),
    ("src/slots/slots_layout.c", "l->places", SHAPES),
    ("src/slots/slots_layout.c", "l->period", SHAPES),
    ("src/slots/slots_layout.c", "slots_rotated_words", SHAPES),
    ("src/slots/slots_layout.c", "l->layer.groups", SHAPES),
    ("src/slots/slots_layout.c", "l->babies", SHAPES),
    ("src/slots/slots_layout.c", "pixels", SHAPES),
    ("src/slots/slots_layout.c", "l->copies", SHAPES),
    ("src/slots/slots_layout.c", "l->bands", SHAPES),
    ("src/slots/slots_layout.c", "groups", SHAPES),
    ("src/slots/slots_linear.c", "layer->in_channels", SHAPES),
    ("src/slots/slots_linear.c", "l->x.phases", SHAPES),
    ("src/slots/slots_linear.c", "l->blocks", SHAPES),
    ("src/slots/slots_linear.c", "layer->groups", SHAPES),
    ("src/slots/slots_linear.c", "group_in", SHAPES),
    ("src/slots/slots_linear.c", "group_out", SHAPES),
    ("src/slots/slots_linear.c", "l->layer.in_channels", SHAPES),
    ("src/slots/slots_linear.c", "l->babies", SHAPES),
    ("src/slots/slots_local.c", "l->groups", SHAPES),
    ("src/slots/slots_local.c", "l->out_channels", SHAPES),
    ("src/slots/slots_local.c", "out", SHAPES),
    ("src/slots/slots_modular.c", "p", TABLE),
    ("src/slots/slots_modular.c", "m->p", TABLE),
    ("src/slots/slots_modular.h", "p", TABLE),
    ("src/slots/slots_ntt.c", "(", TABLE),
    ("src/slots/slots_ntt.c", "p", TABLE),
    ("src/silent/cot_silent.c", "t->unit", "how many correlations are taken"),
    ("src/silent/cot_silent.c", "base", "how many base correlations an iteration takes"),
    ("src/silent/cot_silent.c", "silent_set_outputs", "parameter sets and the declared expectation"),
    ("src/silent/silent_schedule.c", "count", PLAN),
    ("src/silent/silent_schedule.c", "gain", PLAN),
    ("src/silent/silent_schedule.c", "outputs", PLAN),
    ("src/silent/silent_schedule.c", "silent_set_base", PLAN),
    ("src/silent/silent_schedule.c", "set->together", PLAN),
    ("src/silent/silent_schedule.c", "unit", PLAN),
    ("src/silent/silent_schedule.c", "most", PLAN),
    ("src/silent/silent_schedule.c", "net", PLAN),
    ("src/silent/silent_schedule.c", "rounds", PLAN),
    ("src/silent/cot_silent_cost.c", "used", PLAN),
    ("src/ot/softspoken_internal.h", "k", "field size, a constant of the session"),
    ("src/engine/delphi/delphi_ahead.c", "l->groups", SHAPES),
    ("src/engine/delphi/delphi_ahead.c", "group_outs", SHAPES),
    ("src/garble/garbled.c", "batch", "instances of a message"),
    ("src/garble/garbled.c", "w->chunk", "number of a chunk"),
    ("src/gates/carry.c", "strings", "index of a table entry"),
    ("src/gates/maxpool.c", "step", SHAPES),
    ("src/gates/multiply.c", "pads", "chunk size"),
    ("src/gates/maxpool.c", "(", SHAPES),
    ("src/gates/top_k.c", "(", SHAPES),
    ("src/gates/top_k.c", "p", SHAPES),
    ("src/gates/top_k.c", "params->width", SHAPES),
]

EARLY_OUT = re.compile(r"\b(memcmp|bcmp|strcmp|strncmp|qsort|bsearch|rand|random)\s*\(")
STRIP = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])'", re.S)
DIVISION = re.compile(r"(?:/|%)=?\s*(\((?!size_t\)|uint32_t\)|uint64_t\)|double\))|(?:\([a-z0-9_]+\))?\s*[A-Za-z_0-9.]+(?:(?:->|\.)[A-Za-z_0-9]+)*)")
CONSTANT = re.compile(r"^(0[xX][0-9a-fA-F]+|[0-9][0-9.]*(e[0-9]+)?[uUlL]*|[A-Z][A-Z0-9_]*|sizeof|_Alignof)$")


def blank(match):
    """Comments and strings become spaces, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group(0))


def line_of(text, match):
    return text.count("\n", 0, match.start()) + 1


def unwrapped(root, name, text):
    """MemorySanitizer does not see into libsodium: what these folders call of it is wrapped by hand."""
    border = (root / "tests/adversary/msan_border.c").read_text()
    for match in re.finditer(r"\b((?:crypto|sodium)_[a-z0-9_]+)\s*\(", text):
        if f"__real_{match.group(1)}(" not in border:
            yield f"{name}:{line_of(text, match)}: {match.group(1)} is not wrapped in tests/adversary/msan_border.c"


# Instructions whose marks need no measuring: they move whole registers.
MOVES = re.compile(r"_mm(512|256)?_(mask_|maskz_)?(loadu?|storeu?|setr?|set1|setzero|cast|extract)[a-z0-9]*_|_mm(256)?_(xor|s[lr]li)_si")


def unmeasured(root, name, text):
    """Every AVX-512 instruction must be in the test that measures whether MemorySanitizer follows it."""
    measured = (root / "tests/adversary/msan_test.c").read_text() + (root / "tests/adversary/msan_intrinsics.h").read_text()
    for match in re.finditer(r"\b(_mm(?:512|256)?_[a-z0-9_]+)\s*\(", text) if "avx512" in name else ():
        if not MOVES.match(match.group(1)) and f"{match.group(1)}(" not in measured:
            yield f"{name}:{line_of(text, match)}: {match.group(1)} is not measured in tests/adversary/msan_test.c"


def check_file(root, path, used):
    name = path.relative_to(root).as_posix()
    text = STRIP.sub(blank, path.read_text())
    problems = list(unwrapped(root, name, text)) + list(unmeasured(root, name, text))
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    for match in EARLY_OUT.finditer(text):
        problems.append(f"{name}:{line_of(text, match)}: {match.group(1)} is not constant-time")
    for match in DIVISION.finditer(text):
        divisor = re.sub(r"^\([a-z0-9_]+\)\s*", "", match.group(1)).strip()
        if CONSTANT.match(divisor):
            continue
        found = [i for i, (file, allowed, _) in enumerate(ALLOWED) if file == name and allowed == divisor]
        used.update(found)
        if not found:
            problems.append(f"{name}:{line_of(text, match)}: division by '{divisor}'; if its operands are public, "
                            f"say why in scripts/check_constant_time.py")
    return problems


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    used, problems, files = set(), [], 0
    for place in PLACES:
        for path in sorted(root.glob(place)):
            files += 1
            problems += check_file(root, path, used)
    for i, (file, divisor, _) in enumerate(ALLOWED):
        if i not in used:
            problems.append(f"scripts/check_constant_time.py: nothing in {file} divides by '{divisor}' any more")
    print("\n".join(problems) if problems else f"{files} files: {len(used)} kinds of division, all by public values")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
