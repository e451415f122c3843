#!/usr/bin/env python3
"""The minors attack of scripts/lpn_minors.py for real, on small LPN instances: it recovers the whole secret at the rate
that the estimate counts with.

usage: lpn_minors_game.py [instances] [seed]     Plain Python 3, some seconds. Exits 1 when a rate is off.

Instances have ten ones a row, regular noise and n/k as the sets in use. An attempt drops a half of the rows at random,
removes columns greedily until there are as many rows as columns and EXTRA more, and succeeds when at most P errors are in
these rows. The estimate's chance of that follows from how many rows of each block there are; added up over the attempts
until the secret is found it is 1 on average, if attempts on one instance count like independent ones."""
import random
import sys

K, BLOCK, TREES, WEIGHT = 128, 20, 76, 10
EXTRA, P = 26, 2   # 26 checks leave one of 2^13 attempts with a false pattern of two errors
DROP = 0.5         # of the rows, at random, so that attempts differ: at this size they share most of their columns else
TOLERANCE = 2.0    # times the expected number; its deviation is 1/sqrt(instances)


def instance(generator):
    """Rows as sets of columns (a column drawn twice cancels), samples, the secret."""
    rows, samples = [], []
    secret = [generator.randrange(2) for _ in range(K)]
    for _ in range(TREES):
        hole = generator.randrange(BLOCK)
        for place in range(BLOCK):
            row = set()
            for _ in range(WEIGHT):
                row ^= {generator.randrange(K)}
            rows.append(row)
            samples.append(sum(secret[c] for c in row) & 1 ^ (place == hole))
    return rows, samples, secret


def choose(rows, generator):
    """A minor: columns, and rows with all their ones among them."""
    left = {i for i in range(len(rows)) if generator.random() > DROP}
    of_column = [[] for _ in range(K)]
    for i in left:
        for c in rows[i]:
            of_column[c].append(i)
    degree, columns = [len(x) for x in of_column], set(range(K))
    while True:
        least = min(columns, key=lambda c: (degree[c], generator.random()))
        gone = [i for i in of_column[least] if i in left]
        if len(left) - len(gone) < len(columns) - 1 + EXTRA:
            return sorted(columns), generator.sample(sorted(left), len(columns) + EXTRA)
        columns.remove(least)
        left.difference_update(gone)
        for i in gone:
            for c in rows[i]:
                degree[c] -= 1


def chance(chosen):
    """That at most P of these rows hold an error: one of BLOCK places of each block does."""
    counts = [0] * TREES
    for i in chosen:
        counts[i // BLOCK] += 1
    by_errors = [1.0] + [0.0] * P
    for count in counts:
        hit = count / BLOCK
        by_errors = [x * (1 - hit) + (by_errors[i - 1] * hit if i else 0.0) for i, x in enumerate(by_errors)]
    return sum(by_errors)


def eliminate(vectors, width):
    """Gauss on integers, their lowest `width` bits: (pivot, vector) pairs, and what is left of vectors that vanish."""
    pivots, vanished = [], []
    for v in vectors:
        for bit, other in pivots:
            if v >> bit & 1:
                v ^= other
        low = v & ((1 << width) - 1)
        if low:
            pivots.append((low.bit_length() - 1, v))
        else:
            vanished.append(v >> width)
    return pivots, vanished


def few_errors(masks, samples, width):
    """Which at most P of the samples are wrong by the checks; None when no such pattern fits."""
    _, checks = eliminate([m | 1 << (width + i) for i, m in enumerate(masks)], width)
    wrong = [sum((check >> i & 1) << j for j, check in enumerate(checks)) for i in range(len(masks))]
    syndrome = 0
    for i, sample in enumerate(samples):
        syndrome ^= wrong[i] if sample else 0
    at = {w: i for i, w in enumerate(wrong)}
    if syndrome == 0:
        return []
    if syndrome in at:
        return [at[syndrome]]
    for w, i in at.items():
        if syndrome ^ w in at:
            return [i, at[syndrome ^ w]]
    return None


def solve(masks, samples, width):
    """One solution of the system; bits that it leaves open are 0."""
    pivots, vanished = eliminate([m | s << width for m, s in zip(masks, samples)], width)
    if any(vanished):
        return None
    value = 0
    for bit, v in reversed(pivots):  # a pivot's other bits belong to later pivots or are open
        rest = v & ((1 << width) - 1) & ~(1 << bit)
        if (v >> width & 1) ^ (rest & value).bit_count() & 1:
            value |= 1 << bit
    return [value >> c & 1 for c in range(width)]


def extend(rows, samples, known):
    """All other columns by majority: each from the rows in which it is the only unknown one."""
    while len(known) < K:
        votes = {}
        for row, sample in zip(rows, samples):
            open_ones = [c for c in row if c not in known]
            if len(open_ones) == 1:
                bit = sample ^ sum(known[c] for c in row if c != open_ones[0]) & 1
                votes.setdefault(open_ones[0], []).append(bit)
        if not votes:
            return None
        best = max(votes, key=lambda c: len(votes[c]))
        known[best] = 2 * sum(votes[best]) > len(votes[best])
    return [int(known[c]) for c in range(K)]


def attempt(rows, samples, generator):
    """(chance of the minor, secret or None)"""
    columns, chosen = choose(rows, generator)
    place = {c: i for i, c in enumerate(columns)}
    masks = [sum(1 << place[c] for c in rows[i]) for i in chosen]
    here = [samples[i] for i in chosen]
    wrong = few_errors(masks, here, len(columns))
    if wrong is None:
        return chance(chosen), None
    for i in wrong:
        here[i] ^= 1
    found = solve(masks, here, len(columns))
    return chance(chosen), found and extend(rows, samples, dict(zip(columns, found)))


def attack(generator):
    """(attempts until the secret is found, the sum of their chances)"""
    rows, samples, secret = instance(generator)
    attempts, spent = 0, 0.0
    while True:
        here, found = attempt(rows, samples, generator)
        attempts, spent = attempts + 1, spent + here
        # All rows have an even number of ones, so nobody can tell a secret from its complement.
        if found in (secret, [1 - bit for bit in secret]):
            return attempts, spent


def main():
    instances = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    generator = random.Random(seed)
    runs = [attack(generator) for _ in range(instances)]
    attempts, spent = sum(a for a, _ in runs), sum(s for _, s in runs)
    ratio = spent / instances
    print(f"{instances} secrets of {K} bits found, all of them, in {attempts} minors; {spent:.1f} finds were expected of these "
          f"minors: {ratio:.2f} of the estimate's rate each (seed {seed})")
    if not 1 / TOLERANCE < ratio < TOLERANCE:
        print(f"the estimate is off: {ratio:.2f}, allowed are 1/{TOLERANCE} to {TOLERANCE}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
