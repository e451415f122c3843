#!/usr/bin/env python3
"""A second, slow reading of docs/protocols/receipts.md: Ed25519 by RFC 8032, without libsodium.

usage: receipts.py FILE [PUBLIC]    verifies a file of receipts, prints samples and connections; exit status 1 if it is not valid
       receipts.py --vectors PAGE   recomputes the page's test vectors"""
import hashlib
import re
import struct
import sys

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
LAYOUT = "<8sII16s32s32sQQQ32s32s32s32s"
NAMES = "magic version shards job model_id manifest_hash declared samples time certificate sent received key".split()
SIGNED = struct.calcsize(LAYOUT)
LEN = SIGNED + 64


def add(p, q):
    """Extended coordinates (X, Y, Z, T)."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1:
            q = add(q, p)
        p = add(p, p)
        s >>= 1
    return q


def equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def encode(p):
    z = pow(p[2], P - 2, P)
    x, y = p[0] * z % P, p[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(b):
    """None: no point."""
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def hash_int(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def sign(seed, message):
    """(public key, signature)"""
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = encode(times(a, BASE))
    r = hash_int(h[32:], message) % L
    point = encode(times(r, BASE))
    s = (r + hash_int(point, public, message) * a) % L
    return public, point + s.to_bytes(32, "little")


def verify(public, message, signature):
    a, r, s = decode(public), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    return equal(times(s, BASE), add(r, times(hash_int(signature[:32], public, message) % L, a)))


def receipt(data):
    """The fields of one receipt; None: it is not valid."""
    fields = dict(zip(NAMES, struct.unpack(LAYOUT, data[:SIGNED])))
    good = fields["magic"] == b"FUSIONRC" and fields["version"] == 1
    return fields if good and verify(fields["key"], data[:SIGNED], data[SIGNED:]) else None


def receipts(data, public=None):
    """The receipts of a file; None: it is not valid."""
    if len(data) < 16:
        return None
    magic, version, count = struct.unpack_from("<8sII", data)
    if magic != b"FUSIONRF" or version != 1 or not 1 <= count <= 1 << 16 or len(data) != 16 + count * LEN:
        return None
    parts = [data[16 + i * LEN:16 + (i + 1) * LEN] for i in range(count)]
    if any(a >= b for a, b in zip(parts, parts[1:])):
        return None
    read = [receipt(part) for part in parts]
    if None in read:
        return None
    same = {tuple(r[n] for n in ("job", "model_id", "manifest_hash", "declared", "key")) for r in read}
    return read if len(same) == 1 and public in (None, read[0]["key"]) else None


def vectors(page):
    """{label: bytes} of the page's test vectors: lines "    label  hex", continued by deeper lines of hex alone."""
    found, label = {}, None
    for line in page.partition("## Test vectors")[2].splitlines():
        match = re.fullmatch(r"    (?:([a-z]+) +| +)([0-9a-f]+)", line)
        if not match:
            continue
        label = match[1] or label
        found[label] = found.get(label, b"") + bytes.fromhex(match[2])
    return found


def example():
    """(body without key, as the page describes it)"""
    part = lambda start, size: bytes(range(start, start + size))
    return struct.pack(LAYOUT[:-3], b"FUSIONRC", 1, 2, part(0, 16), part(32, 32), part(64, 32), 2660, 1330, 1767225600,
                       part(96, 32), part(128, 32), part(160, 32))


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--vectors":
        v = vectors(open(sys.argv[2]).read())
        public, _ = sign(v["seed"], b"")
        _, signature = sign(v["seed"], example() + public)
        whole = example() + public + signature
        good = public == v["public"] and whole == v["receipt"] and receipts(v["file"]) and v["file"][16:] == whole
        print("vectors", "recomputed" if good else "differ")
        return 0 if good else 1
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    found = receipts(open(sys.argv[1], "rb").read(), bytes.fromhex(sys.argv[2]) if len(sys.argv) == 3 else None)
    if not found:
        print("not valid")
        return 1
    print(f"valid: {sum(r['samples'] for r in found)} samples, {len(found)} connections")
    return 0


if __name__ == "__main__":
    sys.exit(main())
