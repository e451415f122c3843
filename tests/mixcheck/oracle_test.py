"""`fusion plan` against the slow oracle of the specification (DESIGN 3). usage: oracle_test.py FUSION SPEC_FOLDER"""
import json
import os
import random
import subprocess
import sys
from fractions import Fraction
from math import comb, log2

fusion, spec = sys.argv[1:3]
if not os.path.exists(os.path.join(spec, "cheating_bound.py")):
    print("skipped: the specification's oracle is not beside the project:", spec)
    sys.exit(77)
sys.path.insert(0, spec)
import cheating_bound as oracle
import sensitive_bound


def plan(**options):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return json.loads(subprocess.run([fusion, "plan", "--json", *flags], check=True, stdout=subprocess.PIPE).stdout)


def exact_chance(r, b, t, e, public_copies):
    """The best chance of a cheating server, as a fraction."""
    n, chance = r * b + t * public_copies, {}
    for i in range(1, r + 1):
        for k in range(e + 1):
            s = i * b + k * public_copies
            chance[s] = chance.get(s, 0) + Fraction(comb(r, i) * comb(t, k), comb(n, s))
    return max(chance.values())


seed = int(os.environ.get("FUSION_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
print("FUSION_TEST_SEED =", seed)
rng = random.Random(seed)
cases = [(r, 40, 100, a, 1) for r in (1, 2, 8, 32, 128, 512, 1845, 8192) for a in (1.0, 0.95, 0.9)]
cases += [(r, 40, 100, a, 2) for r in (1, 128) for a in (1.0, 0.95)]
cases += [(rng.randrange(1, 400), rng.randrange(8, 61), rng.randrange(0, 300), rng.choice([1, 0.99, 0.97, 0.95, 0.9, 0.8]),
           public_copies) for public_copies in [1] * 30 + [2, 3, 4] * 2]
for r, security, public, accuracy, public_copies in cases:
    got = plan(queries=r, security=security, min_public=public, min_accuracy=accuracy, public_copies=public_copies)
    cost, b, t = oracle.plan(r, security, public, accuracy, public_copies)
    e = got["allowed_errors"]
    where = (r, security, public, accuracy, public_copies, got, (cost, b, t))
    assert (got["copies"], got["public"], got["public_copies"]) == (b, t, public_copies), where
    assert got["samples"] == r * b + t * public_copies and abs(got["cost_per_query"] - cost) < 1e-6 * cost, where
    assert e == oracle.floor((1 - accuracy) * t + 1e-9), where
    assert abs(got["soundness_bits"] - oracle.exact_bits(r, b, t, e, public_copies)) < 1e-6, where
    assert abs(got["paper_bits"] - oracle.paper_bits(r, b, t, public_copies)) < 1e-6, where
    if r <= 40:
        chance = exact_chance(r, b, t, e, public_copies)
        assert abs(got["soundness_bits"] + log2(chance)) < 1e-6, where
        assert chance <= Fraction(1, 1 << security), where
print(len(cases), "plans equal the oracle's")

count = 0
for r, min_public, accuracy, security in ((1, 5, 0.9, 8), (3, 10, 0.9, 8), (2, 8, 1.0, 10), (6, 12, 0.8, 6)):
    for rho in ("1", "0.5", "0.1", "0.02"):
        got = plan(queries=r, min_public=min_public, min_accuracy=accuracy, security=security, sensitive=rho)
        (given, given_at), (some, some_at) = sensitive_bound.bits(r, got["copies"], got["public"], 1, got["allowed_errors"], rho)
        found = got["sensitive"]
        assert abs(found["given_bits"] - given) < 1e-6 and abs(found["any_bits"] - some) < 1e-6, (got, given, some)
        assert (found["given_positions"], found["any_positions"]) == (given_at, some_at), (got, given_at, some_at)
        count += 1
print(count, "chances against sensitive samples equal the oracle's")

# Public answers that the honest model gets wrong, w of them, and that tampering puts right: with 100 public samples and an
# accuracy of 0.7 or more the server gains nothing by that, whatever w is.


def mending_chance(r, b, t, e, w):
    """The best chance when f is wrong on w public samples, and g on all it touches but these."""
    n, ways = r * b + t, {}
    for i in range(1, r + 1):
        for k in range(t - w + 1):
            for m in range(max(0, w + k - e), w + 1):
                s = i * b + k + m
                ways[s] = ways.get(s, 0) + comb(r, i) * comb(t - w, k) * comb(w, m)
    return max(Fraction(x, comb(n, s)) for s, x in ways.items())


count = 0
for accuracy in (0.95, 0.9, 0.8, 0.7):
    for r in (1, 8, 40):
        got = plan(queries=r, min_accuracy=accuracy, min_public=100)
        b, t, e = got["copies"], got["public"], got["allowed_errors"]
        for w in range(1, min(t, e + 4) + 1, 5):
            assert mending_chance(r, b, t, e, w) <= exact_chance(r, b, t, e, 1), (r, b, t, e, w)
            count += 1
print(count, "plans are no weaker when wrong answers are put right")
assert mending_chance(8, 10, 100, 50, 50) == 1  # at an accuracy of 0.5 they are
