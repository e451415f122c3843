#!/usr/bin/env python3
"""Estimated bit security of the silent extension's parameter sets (src/silent/silent_set.c), recomputed.

Problem: LPN over F_2 with n samples, dimension k and regular noise: one noise position in each of t blocks of beta = n/t.
A row of the matrix has ten ones. The estimate is the cheapest of the attacks below, in bit operations, memory free of
charge. Elimination is charged on as many rows as there are unknowns: the others are not needed.

On any code; regular noise gives one parity check a block for free (its bits sum to 1), so attacks on arbitrary noise run on
(n - t, k - t, t):

  gauss   pooled Gauss: guess k noise-free samples, solve.               Liu, Wang, Yang, Yu, EUROCRYPT 2024, sec. 5
  decode  statistical decoding with low-weight parity checks.            ibid.
  sdisd   Stern-Dumer information set decoding, non-asymptotic.          ibid. (Hamdaoui, Sendrier 2013)
  bjmm    Becker-Joux-May-Meurer, two levels of representations.         ibid.
  perm    information sets that take as many samples of every block.     Esser, Santini, CRYPTO 2024
  enum    the same with enumeration of a few errors.                     ibid.
  algebra XL on the quadratic system of regular noise, some places guessed.  Briaud, Oygarden, EUROCRYPT 2023
  hybrid  guesses and quadratic equations, after the linear step.        Wang, Wang, Yang, Liu, Yu, Zhang, Wang, CRYPTO 2025

On sparse rows:

  sparse XL  XL over the k bits of the secret, Wiedemann on its sparse equations.
  minor      information sets inside few columns (lpn_minors.py), with enumeration of errors (sdisd, bjmm). `random` and
             `greedy` are ways to find the columns, `any` bounds all of them.

Usage: lpn_security.py [--check] [--published] [--simulate] [--set N K T].  --check fails unless every set in the source
reaches what is written beside it, and that is at least 128, and every attack takes 131 bits against a single instance.
Needs numpy. Half a minute; --simulate, which makes the greedy choice on real matrices, some minutes and 2 GB.
"""
import argparse
import os
import re
import sys
from math import comb, ceil, floor, inf, log2, sqrt

from lpn_minors import dense, greedy_columns, log2_binomial, log2_sum, minors, simulate, wiedemann

FLOOR = 128   # bits that a set must keep
SINGLE = 131  # and against one instance


def smallest(cost, low, high):
    """Minimum of a function that falls, then rises, over the integers of [low, high]; a window around it is scanned."""
    start, end = low, high
    while end - start > 24:
        third = (end - start) // 3
        if cost(start + third) > cost(end - third):
            start += third
        else:
            end -= third
    return min(cost(x) for x in range(max(low, start - 8), min(high, end + 8) + 1))


def gauss(n, k, t):
    return 2.8 * log2(min(k, n - k)) - log2_binomial(n - k, t) + log2_binomial(n, t)


def decode(n, k, t):
    """Statistical decoding; the second form first spends the cost of a Gauss attack on fewer unknowns."""
    k -= floor(gauss(n, k, t))
    return log2(k + 1) + 2 * t * log2((n - t + 1) / (n - k - t))


def sdisd(n, k, t):
    """Patterns of p errors among k + l rows, from two lists; a sum costs l bits, a meeting 2 p: it fails early."""
    best = inf
    for p in range(2, 20, 2):
        half = log2_binomial(k // 2, p // 2)
        l = round(half)
        work = log2_sum(dense(k), 1 + half + log2(l), 2 * half - l + 1 + log2(p))
        best = min(best, work - (log2_binomial(n - k - l, t - p) - log2_binomial(n, t) + 2 * half))
    return best


def bjmm(n, k, t, elimination):
    def cost(p2, e2, e1, l):
        p1 = 2 * (p2 - e2)
        p = 2 * (p1 - e1)
        if p <= 0 or p > t or l < 1:
            return inf
        size = k + l
        base = log2_binomial(size // 2, p2 // 2)
        share2 = log2_binomial(p2, e2) + log2_binomial(size - p2, p2 - e2) - log2_binomial(size, p2)
        share1 = log2_binomial(p1, e1) + log2_binomial(size - p1, p1 - e1) - log2_binomial(size, p1)
        r2 = min(max(floor(share2 + 4 * base - log2_binomial(size, p1)), 0), l - 1)
        r1 = floor(share1 + 2 * log2_binomial(size, p1) - log2_binomial(size, p)) - r2
        r1 = min(max(r1, 0), l - r2 - 1)
        c3 = 2 * base - r2
        c2 = 2 * c3 - r1
        s1 = min(share2 + c2, log2_binomial(size, p1) - r1 - r2)
        c1 = 2 * s1 - l + r1 + r2
        s0 = min(share1 + c1, log2_binomial(size, p) - l)
        work = log2_sum(elimination, log2(l) + log2_sum(3 + base, 2 + c3, 1 + c2, 1 + c1))
        chance = log2_binomial(n - size, t - p) + l + s0 - log2_binomial(n, t)
        return inf if chance >= 0 else work - chance

    best = inf
    for p2 in range(2, 13, 2):
        for e2 in range(0, p2):
            for e1 in range(0, 2 * (p2 - e2)):
                if 2 * (2 * (p2 - e2) - e1) > 32:
                    continue
                best = min(best, smallest(lambda l: cost(p2, e2, e1, l), 4, 320))
    return best


def perm(n, k, t):
    k -= t
    return dense(k) - t * log2(1 - k / n)


def enum(n, k, t):
    block = n // t
    k -= t
    best = inf
    for p in range(0, 30, 2):
        guess = log2(max(1, comb(round(t / 2), p // 2))) + p / 2 * log2(max(1.0, k / t))
        for l in range(ceil(guess / 2), round(1.5 * guess) + 1):
            v = (k + l) / t
            if v >= block:
                continue
            chance = (log2_binomial(t // 2, p // 2) + log2_binomial(t - t // 2, p // 2) + p * log2(v / block) +
                      (t - p) * log2(1 - v / block))
            half = log2_binomial(round(t / 2), p // 2) + p / 2 * log2(v)
            best = min(best, log2_sum(dense(k), log2(l + 1) + log2_sum(1 + half, 2 * half - l)) - chance)
    return best


def algebra(n, k, t, w):
    """(bits of XL over the error's places, of XL over the secret's bits). f blocks have mu places each guessed free of noise. The series (1 + (beta-mu-1) z)^f (1 + (beta-1) z)^(t-f) /
    (1 + z)^(n-k-1) counts what the equations leave of each degree; the first degree at which nothing is left is solved by
    sparse linear algebra over the monomials up to it. Over the secret's bits there are other monomials, and equations stay as
    sparse as rows: guesses times a bit have w + 1 terms, products of two places more."""
    beta = n // t

    def powers(a, m, degree):
        """Coefficients of (1 + a z)^m."""
        out, term = [], 1.0
        for i in range(degree + 1):
            out.append(term)
            term *= a * (m - i) / (i + 1)
        return out

    def times(x, y):
        return [sum(x[i] * y[d - i] for i in range(d + 1)) for d in range(len(x))]

    checks = powers(1.0, -(n - k - 1), 4)

    def degree(f, mu):
        monomials = times(powers(beta - mu - 1, f, 4), powers(beta - 1, t - f, 4))
        left = times(monomials, checks)
        for d in range(2, 5):
            if sum(left[1:d + 1]) < 1:
                return d, monomials
        return inf, monomials

    best, sparse = inf, inf
    for mu in range(0, beta - 1):
        most = t if mu == 0 else min(t, k // mu)
        for wanted in (2, 3, 4):
            low, high = 0, most
            if degree(most, mu)[0] > wanted:
                continue
            while low < high:  # the fewest guesses that reach this degree
                middle = (low + high) // 2
                if degree(middle, mu)[0] <= wanted:
                    high = middle
                else:
                    low = middle + 1
            d, monomials = degree(low, mu)
            chance = low * log2(1 - mu / beta)
            best = min(best, 2 * log2(sum(monomials[1:d + 1])) + log2(3 * (k + 1 - low * mu)) - chance)
            over_secret = log2_sum(*(log2_binomial(k, i) for i in range(1, d + 1)))
            sparse = min(sparse, 1 + 2 * over_secret + log2(w + 1) - chance)
    return best, sparse


def hybrid(n, k, t):
    """In g blocks the place of the noise is tried, in f of the others u + 1 places are guessed free of noise, in the rest
    u; what the parity checks leave is solved from the quadratic relations inside blocks."""
    beta = n // t
    per_block = (n - k) // (beta - 1)

    def unknowns(u, f, g):
        return k - t - (u + 1) * f - (t - f - g) * u

    def solvable(u, f, g):
        n0 = unknowns(u, f, g)
        if n0 <= 0:
            return True
        pairs = (t - f - g) * (beta - u - 2) * (beta - u - 1) / 2 + f * (beta - u - 2) * (beta - u - 3) / 2
        v = n0 - (beta - 1) * g
        return v >= 0 and v <= sqrt(2 * pairs) - 2

    def cost(u, f, g):
        n0 = unknowns(u, f, g)
        chance = f * log2(1 - (u + 1) / beta) + (t - g - f) * log2(1 - u / beta)
        rows = n - k - per_block * (beta - u - 2)
        linear = log2(max(1, rows * (n - k) * (rows + n0)))
        if n0 <= 0:
            return linear - chance
        w = (beta - 1) * g
        v = n0 - w
        if v == 0:
            return log2_sum(linear, g * log2(beta)) - chance
        once = log2(max(1.0, v**4 * n0**2 / 8 / log2(max(v * v / 2, 2))))
        each = log2(max(1.0, 1.25 * (2 * v * v * w + v * w * w) + (2.5 * v)**3 / log2(max(2.5 * v, 2))))
        return log2_sum(linear, once, each + g * log2(beta)) - chance

    best = inf
    for u in range(0, min(beta - 3, k // t + 2)):
        for g in range(0, min(t, 40)):
            low, high = 0, t - g - 1
            if not solvable(u, high, g):
                continue
            while low < high:
                middle = (low + high) // 2
                if solvable(u, middle, g):
                    high = middle
                else:
                    low = middle + 1
            best = min(best, min(cost(u, f, g) for f in range(low, min(low + 8, t - g))))
    return best


def estimate(n, k, t, w):
    free = (n - t, k - t, t)
    bits = {
        "gauss": gauss(*free), "decode": decode(*free), "sdisd": sdisd(*free), "bjmm": bjmm(*free, dense(k - t)),
        "perm": perm(n, k, t), "enum": enum(n, k, t), "hybrid": hybrid(n, k, t),
    }
    bits["algebra"], bits["sparse XL"] = algebra(n, k, t, w)
    for name, (columns, here, _, by_dense) in minors(n, k, t, w).items():
        inside = bjmm(n, columns, t, wiedemann(columns, w))
        bits[f"minor, {name} {columns} columns"] = min(here, by_dense, inside)
    return bits


def source_sets():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(root, "src", "silent", "silent_set.c"), encoding="utf-8") as f:
        text = f.read()
    pattern = (r'\.name = "(\w+)",\s*\.depth = (\d+),\s*\.trees = (\d+),\s*\.factor = (\d+),\s*\.shift = (\d+),\s*'
               r'\.together = (\d+),\s*\.security_bits = (\d+)')
    return [(m[0], int(m[2]) << int(m[1]), int(m[3]) << int(m[4]), int(m[2]), int(m[5]), int(m[6]))
            for m in re.findall(pattern, text)]


def source_weight():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(root, "src", "silent", "silent_set.h"), encoding="utf-8") as f:
        return int(re.search(r"SILENT_ROW_WEIGHT = (\d+)", f.read())[1])


# n, k, t: Ferret's published sets (emp-ot, ten ones a row), and ours until November 2026.
PUBLISHED = [("Ferret b11", 10180608, 124000, 4971), ("Ferret b12", 10268672, 238000, 2507),
             ("Ferret b13", 10485760, 452000, 1280), ("lan, 2026-11", 921600, 67584, 900),
             ("wan, 2026-11", 6225920, 262144, 1520)]


def report(name, n, k, t, w):
    """Prints each attack's bits; returns the least."""
    bits = estimate(n, k, t, w)
    lowest = min(bits, key=bits.get)
    print(f"{name}: n={n} k={k} t={t}: {bits[lowest]:.1f} bits ({lowest})")
    for attack, value in bits.items():
        print(f"  {attack:30} {value:6.1f}")
    return bits[lowest]


def main():
    parser = argparse.ArgumentParser(description="bit security of LPN parameter sets with regular noise over F_2")
    parser.add_argument("--check", action="store_true", help="fail unless the source's claims hold")
    parser.add_argument("--published", action="store_true", help="estimate published sets instead")
    parser.add_argument("--simulate", action="store_true", help="also choose columns of a real matrix greedily")
    parser.add_argument("--set", nargs=3, type=int, metavar=("N", "K", "T"), help="estimate this set instead")
    arguments = parser.parse_args()
    w, sets = source_weight(), source_sets()
    good = len(sets) > 0
    if arguments.set or arguments.published:
        sets = [("given", *arguments.set, 1, None)] if arguments.set else [(*s, 1, None) for s in PUBLISHED]
    for name, n, k, t, together, claimed in sets:
        bits = report(name, n, k, t, w)
        # Secrets that share a matrix: an attack on all of them is one on each, of that part of its chance (hybrids).
        left = bits - log2(together)
        if together > 1:
            print(f"{name}: {together} share a matrix: {left:.1f} bits")
        if arguments.simulate:
            print(f"{name}: greedy choice: {simulate(n, k, w):.4f} k columns, by the equations {greedy_columns(n, k, w):.4f} k")
        if claimed is not None and (floor(left) != claimed or claimed < FLOOR or bits < SINGLE):
            print(f"{name}: the source says {claimed}; {FLOOR} are needed, {SINGLE} against one instance", file=sys.stderr)
            good = False
    return 0 if good or not arguments.check else 1


if __name__ == "__main__":
    sys.exit(main())
