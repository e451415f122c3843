"""Attacks on LPN that need the code's rows to be sparse. Used by lpn_security.py.

A row of the matrix has w ones among k columns. Take a set S of columns: the rows whose ones all lie in S are LPN samples
of dimension |S| only. Among n random rows there are about n (|S|/k)^w of them, so already a set of 0.6 to 0.8 k columns has
as many rows as columns: a *minor*, a system that can be solved by itself and holds far fewer of the errors than k rows of
the whole code. Its rows are as sparse, so Wiedemann's algorithm solves it in about 2 w |S|^2 bit operations. How few
columns do?

  random   S at random.
  greedy   remove the column with the fewest rows left, again and again. Given its degrees the rest stays a random matrix,
           so differential equations follow the degrees; greedy_columns() integrates them, simulate() runs it for real.
  any      the first-moment bound: below it, sets with as many rows as columns are not expected to exist at all.
           No search, however long, does better, so the claims of lpn_security.py count this one.
"""
from functools import lru_cache
from math import ceil, inf, lgamma, log, log2

import numpy as np


def log2_binomial(n, m):
    """log2 of n choose m by the gamma function: good to 1e-6 here."""
    if m < 0 or m > n:
        return -inf
    return (lgamma(n + 1) - lgamma(m + 1) - lgamma(n - m + 1)) / log(2)


def log2_sum(*terms):
    top = max(terms)
    return top if top == -inf else top + log2(sum(2.0 ** (x - top) for x in terms if x - top > -200))


def random_columns(n, k, w):
    """Fraction of the columns at which n x^w = k x."""
    return min(1.0, (k / n) ** (1 / (w - 1)))


def any_columns(n, k, w):
    """Least x for which k H(x) >= n D(k x / n || x^w): k x rows of n, each with probability x^w, in one of the
    2^(k H(x)) sets of k x columns."""
    def expected(x):
        row, wanted = x**w, k * x / n
        if wanted <= row:
            return True
        sets = -k * (x * log(x) + (1 - x) * log(1 - x))
        return sets >= n * (wanted * log(wanted / row) + (1 - wanted) * log((1 - wanted) / (1 - row)))

    low, high = 0.001, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if expected(middle) else (middle, high)
    return high


@lru_cache(maxsize=None)
def greedy_columns(n, k, w, steps=2000):
    """Fraction of the columns left when removing the columns of least degree has left as many rows as columns. A step
    removes at most 1/steps of the columns, less where degrees are large; a removed row takes its other w - 1 ends from
    columns in proportion to their degrees."""
    mean = n * w / k
    degrees = np.arange(int(mean + 10 * mean**0.5) + 10)
    part = np.exp(degrees * log(mean) - mean - np.array([lgamma(d + 1.0) for d in degrees]))  # of the columns: Poisson
    rows, size, ends = n / k, 1.0, mean
    while rows > size:
        most = 0.2 / (w - 1) / degrees[np.flatnonzero(part > 1e-12)[-1]]  # no column loses more than 0.2 rows a step
        want = size * max(1e-5, min(1 / steps, most, (rows / size - 1) / 40))
        below = np.cumsum(part)
        last = int(np.searchsorted(below, want))
        taken = np.where(degrees < last, part, 0.0)
        taken[last] = want - (below[last - 1] if last else 0.0)
        killed = float(taken @ degrees)
        part -= taken
        ends -= killed
        flow = part * degrees * (killed * (w - 1) / ends)
        part -= flow
        part[:-1] += flow[1:]
        rows, size, ends = rows - killed, size - want, ends - killed * (w - 1)
    return size


def simulate(n, k, w, seed=1):
    """What the greedy choice really leaves, as a fraction of k: columns removed in parts of 1/2000. Needs
    12 n w bytes."""
    generator = np.random.default_rng(seed)
    ends = generator.integers(0, k, (n, w), dtype=np.int32)
    order = np.argsort(ends, axis=None, kind="stable").astype(np.int64) // w
    starts = np.concatenate(([0], np.cumsum(np.bincount(ends.ravel(), minlength=k))))
    degree, column, row = np.diff(starts), np.ones(k, bool), np.ones(n, bool)
    rows, size = n, k
    while rows > size:
        part = max(1, min(size // 2000, (rows - size) // 40))
        here = np.flatnonzero(column)
        gone = here[np.argpartition(degree[here], part - 1)[:part]]
        column[gone] = False
        size -= part
        hit = np.unique(np.concatenate([order[starts[c]:starts[c + 1]] for c in gone]))
        hit = hit[row[hit]]
        row[hit] = False
        rows -= len(hit)
        degree -= np.bincount(ends[hit].ravel(), minlength=k)
    return size / k


CHOICES = {"random": random_columns, "greedy": greedy_columns, "any": any_columns}


def wiedemann(rows, w):
    """Left kernel vectors, as many as a word has bits, of a square matrix with w ones a row. Block Wiedemann needs 2 N/b
    to 3 N/b products with b vectors at once: the least is charged, a product at w additions a row, all else is free."""
    return 1 + log2(w) + 2 * log2(rows)


def dense(rows):
    """Elimination: Strassen's exponent with constant 1, or the four Russians."""
    return min(2.8 * log2(rows), 3 * log2(rows) - log2(log2(rows)))


def chance_of_halves(rows, t, beta, p1, p2):
    """log2 of the chance that `rows` rows, equally many of each block (the best choice, Hoeffding 1956), hold p1 errors in a
    first part of the blocks and p2 in the others, and how many ways there are in each part."""
    inside = rows / t / beta
    first = t * p1 / (p1 + p2) if p1 + p2 else t / 2
    ways1 = log2_binomial(first, p1) + p1 * log2(inside * beta)
    ways2 = log2_binomial(t - first, p2) + p2 * log2(inside * beta)
    return ways1 + ways2 - (p1 + p2) * log2(beta) + (t - p1 - p2) * log2(1 - inside), ways1, ways2


def stern(columns, t, beta, algebra, most=8):
    """(bits, errors): repeats { `columns` rows and some more, checks by linear algebra, all patterns of up to p1 + p2 errors
    by meeting in the middle }. A sum of the lists costs l bits of checks, a meeting 2 (p1 + p2): it fails after two more
    bits on average. algebra: log2 of the cost for a number of rows."""
    best = (inf, 0)
    for p in range(most + 1):
        p1, p2 = p // 2, p - p // 2
        _, ways1, ways2 = chance_of_halves(columns, t, beta, p1, p2)
        rows = columns + ceil(ways1 + ways2)  # so many checks single out the right pattern
        if rows / t >= beta:
            continue
        chance, ways1, ways2 = chance_of_halves(rows, t, beta, p1, p2)
        l = max(1, round(max(ways1, ways2)))
        work = algebra(rows)
        if p:
            work = log2_sum(work, ways1 + log2(l), ways2 + log2(l), ways1 + ways2 - l + 1 + log2(p))
        best = min(best, (work - chance, p))
    return best


def minors(n, k, t, w):
    """For each way to choose columns: (columns, bits, errors, bits by dense algebra)."""
    beta, out = n // t, {}
    for name, fraction in CHOICES.items():
        columns = ceil(fraction(n, k, w) * k)
        bits, errors = stern(columns, t, beta, lambda rows: wiedemann(rows, w))
        out[name] = (columns, bits, errors, stern(columns, t, beta, dense)[0])
    return out
