"""Executable form of the theorem on sensitive samples: the chance of a server whose tampering changes the answers of a
part rho of all samples. Exact fractions, by multiplying out the polynomials of docs/protocols/mix-and-check.md.

usage: sensitive_bound.py R B T K E [RHO ...]      Plain Python 3; for batches of up to some hundred samples."""
import sys
from fractions import Fraction
from math import comb, log2


def multiply(a, b):
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        if x:
            for j, y in enumerate(b):
                out[i + j] += x * y
    return out


def power(a, n):
    out = [Fraction(1)]
    for _ in range(n):
        out = multiply(out, a)
    return out


def add(a, b):
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    return [x + (short[i] if i < len(short) else 0) for i, x in enumerate(long)]


def sample(copies, rho):
    """(nothing wrong, all copies wrong): polynomials in x, which marks a position that the server tampers with."""
    none = [(1 - rho) * comb(copies, j) for j in range(copies + 1)]
    none[0] += rho
    return none, [Fraction(0)] * copies + [rho]


def chances(r, b, t, k, errors, rho):
    """[(given, any)] for s = 0..N tampered positions: a wrong answer to a given sensitive query is accepted; to any."""
    rho, n = Fraction(rho), r * b + t * k
    none, wrong = sample(b, rho)
    passed = add(none, wrong)
    some = [x - y for x, y in zip(power(passed, r), power(none, r))]
    given = [Fraction(0)] * b + power(passed, r - 1)
    public_none, public_wrong = sample(k, rho)
    public = [Fraction(0)]
    for wrongs in range(errors + 1):
        term = multiply(power(public_none, t - wrongs), power(public_wrong, wrongs))
        public = add(public, [comb(t, wrongs) * x for x in term])
    given, some = multiply(given, public), multiply(some, public)
    return [(given[s] / comb(n, s), some[s] / comb(n, s)) for s in range(n + 1)]


def bits(r, b, t, k, errors, rho):
    """((bits given, s), (bits any, s)) of the server's best numbers of positions."""
    all_chances = chances(r, b, t, k, errors, rho)
    best = [max(range(len(all_chances)), key=lambda s, e=event: all_chances[s][e]) for event in (0, 1)]
    return [(-log2(all_chances[s][event]), s) for event, s in enumerate(best)]


if __name__ == "__main__":
    r, b, t, k, e = map(int, sys.argv[1:6])
    for rho in sys.argv[6:] or ["1", "0.5", "0.2", "0.1", "0.05", "0.02"]:
        (given, s), (some, s_any) = bits(r, b, t, k, e, rho)
        print(f"rho {rho}: a given query {given:.4f} bits (s = {s}), any query {some:.4f} bits (s = {s_any})")
