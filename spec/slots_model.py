"""Executable model of slot encryption (docs/protocols/slots.md): BFV in a toy ring with N = 16, slots and rotations, key
switching; and what products and rotations of packed vectors make of a layer, for the layouts that the library prints.

usage: slots_model.py [SLOTS_DUMP]      with the program: compares transforms, positions and layouts with it."""
import json
import random
import subprocess
import sys

import numpy as np

ROW = 4096  # slots of a row in the library


# --- the toy: Z[X]/(X^N + 1) ---

N, T, SPECIAL = 16, 97, 1073741857 - 1073741857 % 32 + 1
PRIMES = (1073741441, 1073740609)  # their product is q; only the special prime must be larger than neither


def is_prime(p):
    return p > 1 and all(p % d for d in range(2, int(p**0.5) + 1))


while not is_prime(SPECIAL):
    SPECIAL += 32
Q = PRIMES[0] * PRIMES[1]


def multiply(a, b, q):
    out = [0] * N
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[(i + j) % N] = (out[(i + j) % N] + (x * y if i + j < N else -x * y)) % q
    return out


def automorphism(a, g, q):
    out = [0] * N
    for i, x in enumerate(a):
        out[i * g % N] = (x if i * g // N % 2 == 0 else -x) % q
    return out


def add(a, b, q):
    return [(x + y) % q for x, y in zip(a, b)]


def centred(x, q):
    return (x + q // 2) % q - q // 2


def root_of(p, n):
    """Of the least number that is no square, as the library has it."""
    base = next(b for b in range(2, p) if pow(b, (p - 1) // 2, p) != 1)
    return pow(base, (p - 1) // (2 * n), p)


def slot_exponents(n):
    powers = [pow(3, i, 2 * n) for i in range(n // 2)]
    return powers + [2 * n - e for e in powers]


def decode(m):
    psi = root_of(T, N)
    return [sum(c * pow(psi, e * i, T) for i, c in enumerate(m)) % T for e in slot_exponents(N)]


def encode(slots):
    psi, inverse = root_of(T, N), pow(N, -1, T)
    return [inverse * sum(s * pow(psi, -e * i, T) for s, e in zip(slots, slot_exponents(N))) % T for i in range(N)]


def small():
    return [random.choice((-1, 0, 1)) for _ in range(N)]


def encrypt_zero(s, q):
    a = [random.randrange(q) for _ in range(N)]
    return add([-x for x in multiply(a, s, q)], small(), q), a


def encrypt(m, s):
    c0, c1 = encrypt_zero(s, Q)
    return add(c0, [(2 * Q * x + T) // (2 * T) for x in m], Q), c1


def decrypt(c, s):
    phase = add(c[0], multiply(c[1], s, Q), Q)
    return [(2 * T * x + Q) // (2 * Q) % T for x in phase]


def rotation_key(s, g):
    """For each prime of q a pair modulo q * special that encrypts special * idempotent * key."""
    whole, turned, keys = Q * SPECIAL, automorphism(s, g, Q * SPECIAL), []
    for p in PRIMES:
        idempotent = Q // p * pow(Q // p, -1, p)
        zero = encrypt_zero(s, whole)
        keys.append((add(zero[0], [SPECIAL * idempotent * x for x in turned], whole), zero[1]))
    return keys


def rotate(c, g, keys):
    whole = Q * SPECIAL
    c0, c1 = (automorphism(x, g, Q) for x in c)
    sums = [[0] * N, [0] * N]
    for p, key in zip(PRIMES, keys):
        digit = [centred(x, p) for x in c1]
        for half in (0, 1):
            sums[half] = add(sums[half], multiply(digit, key[half], whole), whole)
    down = [[(x - centred(x, SPECIAL)) // SPECIAL % Q for x in half] for half in sums]
    return add(c0, down[0], Q), down[1]


def check_toy():
    s = small()
    slots = [random.randrange(T) for _ in range(N)]
    weights = [random.randrange(T) for _ in range(N)]
    assert decode(encode(slots)) == slots
    c = encrypt(encode(slots), s)
    assert decode(decrypt(c, s)) == slots
    product = [multiply([centred(x, T) for x in encode(weights)], half, Q) for half in c]
    assert decode(decrypt(product, s)) == [x * y % T for x, y in zip(slots, weights)]
    half = N // 2
    for steps in (1, 3, half - 1):
        g = pow(3, steps, 2 * N)
        turned = decode(decrypt(rotate(c, g, rotation_key(s, g)), s))
        assert turned == [slots[row * half + (i + steps) % half] for row in (0, 1) for i in range(half)], steps
    swapped = decode(decrypt(rotate(c, 2 * N - 1, rotation_key(s, 2 * N - 1)), s))
    assert swapped == slots[half:] + slots[:half]


# --- layers in slots ---


class Layer:
    """A layout as the library prints it; the places of channels follow from the page, not from the library."""

    def __init__(self, d):
        self.__dict__.update(d)
        self.blocks = ROW // self.block
        self.places = 2 * self.blocks
        self.channels = self.__dict__["in"][0] * len(self.y["phase"]) * len(self.x["phase"])

    def input_at(self, i, row, column):
        channel = i * self.places + row * self.blocks + column
        if self.copies and self.folded:
            channel = (row * self.blocks + column) // self.period * self.copies + column % self.copies
        elif self.copies:
            channel = column % self.copies
        return channel if channel < self.channels else None

    def output_at(self, o, row, column):
        channel = column % self.period if self.folded else o * self.places + row * self.blocks + column
        return channel if channel < self.out[0] else None

    def phase(self, channel):
        """Input channel, and the numbers of its phases."""
        rest, c = divmod(channel, self.__dict__["in"][0])
        return (c, *divmod(rest, len(self.x["phase"])))

    def tile(self, t):
        groups = self.tiles // self.bands
        first, row = t % groups * self.together, t // groups * self.band_rows
        return first, min(self.together, self.samples - first), row, min(self.band_rows, self.out[1] - row)

    def pixel(self, s, row, column):
        return (s * self.grid[0] + row) * self.grid[1] + column

    def pack(self, x, t, i):
        slots = np.zeros((2, ROW), dtype=np.int64)
        first, samples, top, _ = self.tile(t)
        for row in (0, 1):
            for column in range(self.blocks):
                channel = self.input_at(i, row, column)
                if channel is None:
                    continue
                c, py, px = self.phase(channel)
                for s in range(samples):
                    for u in range(self.grid[0]):
                        y = (u + top + self.first_row) * self.y["stride"] + self.y["phase"][py]
                        if not 0 <= y < self.y["in"]:
                            continue
                        line = x[first + s, c, y, self.x["phase"][px]::self.x["stride"]][:self.grid[1]]
                        at = column * self.block + self.pixel(s, u, 0)
                        slots[row, at:at + len(line)] = line
        return slots

    def inside(self, axis, phase, offset, banded):
        if banded:
            return range(self.band_rows)
        return [o for o in range(axis["out"]) if 0 <= (o + offset) * axis["stride"] + axis["phase"][phase] < axis["in"]]

    def plaintext(self, w, o, swap, giant, i, baby, iy, ix):
        slots = np.zeros((2, ROW), dtype=np.int64)
        group_in, group_out = self.__dict__["in"][0] // self.groups, self.out[0] // self.groups
        for row in (0, 1):
            for column in range(self.blocks):
                channel = self.input_at(i, row, (column + baby) % self.blocks)
                out = self.output_at(o, row ^ swap, (column - giant * self.babies) % self.blocks)
                if channel is None or out is None:
                    continue
                c, py, px = self.phase(channel)
                ky = self.y["tap"][py * len(self.y["offset"]) + iy]
                kx = self.x["tap"][px * len(self.x["offset"]) + ix]
                if ky < 0 or kx < 0 or c // group_in != out // group_out:
                    continue
                columns = self.inside(self.x, px, self.x["offset"][ix], False)
                for s in range(self.together):
                    for u in self.inside(self.y, py, self.y["offset"][iy], self.bands > 1):
                        for v in columns:
                            slots[row, column * self.block + self.pixel(s, u, v)] = w[out, c % group_in, ky, kx]
        return slots

    def run_tile(self, x, w, t):
        """The slots of each output ciphertext of a tile."""
        packed = [self.pack(x, t, i) for i in range(self.inputs)]
        outputs = []
        for o in range(self.outputs):
            total = np.zeros((2, ROW), dtype=np.int64)
            for swap in range(self.swaps):
                for giant in range(self.diagonals // self.babies):
                    part = np.zeros((2, ROW), dtype=np.int64)
                    for i in range(self.inputs):
                        for iy, dy in enumerate(self.y["offset"]):
                            for ix, dx in enumerate(self.x["offset"]):
                                for baby in range(self.babies):
                                    steps = (dy - self.first_row) * self.grid[1] + dx + baby * self.block
                                    part += np.roll(packed[i], -steps, axis=1) * self.plaintext(w, o, swap, giant, i, baby,
                                                                                               iy, ix)
                    part = np.roll(part, -giant * self.babies * self.block, axis=1)
                    total += part[::-1] if swap else part
            step = self.period
            while self.folded and step < self.blocks:
                total = total + np.roll(total, -step * self.block, axis=1)
                step *= 2
            outputs.append(total + total[::-1] if self.folded else total)
        return outputs

    def run(self, x, w):
        y = np.zeros((self.samples, *self.out), dtype=np.int64)
        for t in range(self.tiles):
            first, samples, top, rows = self.tile(t)
            for o, slots in enumerate(self.run_tile(x, w, t)):
                for row in range(1 if self.folded else 2):
                    for column in range(self.period if self.folded else self.blocks):
                        out = self.output_at(o, row, column)
                        for s in range(samples if out is not None else 0):
                            for u in range(rows):
                                at = column * self.block + self.pixel(s, u, 0)
                                y[first + s, out, top + u] = slots[row, at:at + self.out[2]]
        return y

    def direct(self, x, w):
        y = np.zeros((self.samples, *self.out), dtype=np.int64)
        channels, height, width = self.__dict__["in"]
        group_in, group_out = channels // self.groups, self.out[0] // self.groups
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                for v in range(self.out[2]):
                    for u in range(self.out[1]):
                        iy = u * self.stride[0] + ky * self.dilation[0] - self.pad[0]
                        ix = v * self.stride[1] + kx * self.dilation[1] - self.pad[1]
                        if not (0 <= iy < height and 0 <= ix < width):
                            continue
                        for g in range(self.groups):
                            part = slice(g * group_out, (g + 1) * group_out)
                            y[:, part, u, v] += x[:, g * group_in:(g + 1) * group_in, iy, ix] @ w[part, :, ky, kx].T
        return y


def check_dump(lines):
    kinds = {}
    for d in map(json.loads, lines):
        kinds[d["kind"]] = kinds.get(d["kind"], 0) + 1
        if d["kind"] == "transform":
            p, n = d["p"], len(d["in"])
            psi, bits = root_of(p, n), n.bit_length() - 1
            for i, value in enumerate(d["out"]):
                e = 2 * int(f"{i:0{bits}b}"[::-1], 2) + 1
                assert value == sum(c * pow(psi, e * k, p) for k, c in enumerate(d["in"])) % p, (p, i)
        elif d["kind"] == "positions":
            n = len(d["position"])
            reversed_bits = [int(f"{i:0{n.bit_length() - 1}b}"[::-1], 2) for i in range(n)]
            assert [2 * reversed_bits[at] + 1 for at in d["position"]] == slot_exponents(n)
            assert all(g == pow(3, steps % (n // 2), 2 * n) for steps, g in d["elements"])
        else:
            layer, rng = Layer(d), np.random.default_rng(len(kinds) + sum(d["in"]))
            x = rng.integers(-1000, 1000, (layer.samples, *d["in"]))
            w = rng.integers(-16, 16, (layer.out[0], d["in"][0] // layer.groups, *layer.kernel))
            assert np.array_equal(layer.run(x, w), layer.direct(x, w)), d
    return kinds


def main():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    for _ in range(5):
        check_toy()
    if len(sys.argv) > 1:
        kinds = check_dump(subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE).stdout.splitlines())
        assert set(kinds) == {"transform", "positions", "layer"}, kinds
        print(kinds)


main()
