"""Operators of the reader against NumPy, on many generated networks: nearest-neighbour resizing in the single precision of
the reference implementations, and arithmetic on constants of every integer type. usage: onnx_oracle_test.py ONNX_ECHO"""
import itertools
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

F = np.float32
TYPES = {"f4": 1, "u1": 2, "i1": 3, "u2": 4, "i2": 5, "i4": 6, "i8": 7, "u4": 12, "u8": 13, "f8": 11, "b1": 9}


# The wire format of protobuf, as far as an ONNX file needs it.
def varint(v):
    out = b""
    v &= (1 << 64) - 1
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, (int, np.integer)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, a):
    a = np.asarray(a)
    dims = b"".join(field(1, d) for d in a.shape)
    return dims + field(2, TYPES[a.dtype.str[1:]]) + field(8, name) + field(9, a.tobytes())


def attribute(name, value):
    if isinstance(value, str):
        return field(1, name) + field(4, value) + field(20, 3)
    if isinstance(value, float):
        return field(1, name) + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)


def node(op, inputs, outputs, **attributes):
    return (b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs) + field(3, outputs[0]) + field(4, op)
            + b"".join(field(5, attribute(k, v)) for k, v in attributes.items()))


def value(name, kind, dims):
    shape = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, TYPES[kind]) + field(2, shape)))


def model(nodes, inputs, constants, opset):
    graph = (b"".join(field(1, n) for n in nodes) + field(2, "g") + b"".join(field(5, tensor(k, v)) for k, v in constants.items())
             + field(11, value("x", "f4", inputs)) + field(12, field(1, "y")))
    return field(1, 8) + field(7, graph) + field(8, field(2, opset))


class Network:
    """Parts that all read one input row, joined to one output row."""

    def __init__(self, width, opset):
        self.width, self.opset = width, opset
        self.nodes, self.constants, self.parts, self.expected, self.names = [], {"row": np.array([0, -1])}, [], [], []

    def constant(self, a):
        name = "c%d" % len(self.constants)
        self.constants[name] = a
        return name

    def part(self, name, nodes, output, expected):
        """nodes end in `output`; expected has the batch first."""
        self.nodes += nodes
        flat = "part%d" % len(self.parts)
        self.nodes.append(node("Reshape", [output, "row"], [flat]))
        self.parts.append(flat)
        self.expected.append(np.asarray(expected, F).reshape(len(expected), -1))
        self.names.append(name)

    def check(self, echo, folder, x):
        inside = lambda name: os.path.join(folder, name)
        nodes = self.nodes + [node("Concat", self.parts, ["y"], axis=1)]
        with open(inside("m.onnx"), "wb") as f:
            f.write(model(nodes, ["N", self.width], self.constants, self.opset))
        np.save(inside("x.npy"), x)
        subprocess.run([echo, inside("m.onnx"), inside("x.npy"), inside("y.npy")], check=True)
        got = np.load(inside("y.npy"))
        assert got.shape[1] == sum(e.shape[1] for e in self.expected), (got.shape, [e.shape for e in self.expected])
        at = 0
        for name, e in zip(self.names, self.expected):
            np.testing.assert_allclose(got[:, at:at + e.shape[1]], e, rtol=1e-6, atol=1e-6, err_msg=name)
            at += e.shape[1]
        return len(self.names)


# Resize: the definition of the operator, every step rounded to single precision.
def places(mode, scale, size, length, region):
    o = np.arange(size, dtype=F)
    half, one, last = F(0.5), F(1), F(length - 1)
    if mode == "asymmetric":
        return o / scale
    if mode == "align_corners":
        return o * last / F(size - 1) if size > 1 else o * F(0)
    if mode == "half_pixel":
        return (o + half) / scale - half
    if mode == "pytorch_half_pixel":
        return (o + half) / scale - half if size > 1 else o * F(0)
    if mode == "tf_half_pixel_for_nn":
        return (o + half) / scale
    if mode == "half_pixel_symmetric":
        adjustment = F(size) / (scale * F(length))
        offset = F(length) / F(2) * (one - adjustment)
        return (np.float64(offset) + (o.astype(np.float64) + 0.5) / np.float64(scale) - 0.5).astype(F)
    first, end = F(region[0]), F(region[1])
    if size == 1:
        return np.array([F(0.5) * (first + end) * last], F)
    return first * last + o * (end - first) * last / F(size - 1)


ROUND = {"floor": np.floor, "ceil": np.ceil, "round_prefer_floor": lambda p: np.ceil(p.astype(np.float64) - 0.5),
         "round_prefer_ceil": lambda p: np.floor(p.astype(np.float64) + 0.5)}


def nearest(x, axis, mode, rounding, scale, size, region=(0, 1), fill=0):
    length = x.shape[axis]
    if mode != "tf_crop_and_resize" and scale == 1:
        return x
    p = places(mode, F(scale), size, length, region)
    y = np.take(x, np.clip(ROUND[rounding](p), 0, length - 1).astype(int), axis)
    if mode == "tf_crop_and_resize":
        outside = ((p < 0) | (p > length - 1)).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
        y = np.where(outside, F(fill), y)
    return y


LENGTHS = (1, 2, 3, 5, 7, 9, 10, 13, 16, 29)
SCALES = (0.2, 0.25, 0.3, 1 / 3, 0.3333, 0.4, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.25, 1.4, 1.5, 1.6, 1.7, 2, 2.1, 2.3, 2.6, 3, 3.3)
MODES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners", "tf_half_pixel_for_nn")


def resize_lines(echo, folder, random):
    """One axis, by scales and by sizes, in every mode."""
    x = random.standard_normal((2, 30)).astype(F)
    done = 0
    for mode, rounding in itertools.product(MODES + ("tf_crop_and_resize",), ROUND):
        n = Network(30, 13)
        region = (0.1, 1.3) if mode == "tf_crop_and_resize" else (0, 1)
        roi = n.constant(np.array([0, 0, region[0], 1, 1, region[1]], F)) if mode == "tf_crop_and_resize" else ""
        for length in LENGTHS:
            line = "line%d" % length
            n.nodes.append(node("Slice", ["x", n.constant(np.array([0])), n.constant(np.array([length])), n.constant(np.array([1]))],
                                ["cut%d" % length]))
            n.nodes.append(node("Reshape", ["cut%d" % length, n.constant(np.array([0, 1, length]))], [line]))
            own = x[:, None, :length]
            for scale in SCALES:
                size = int(F(scale) * F(length))
                if size < 1:
                    continue
                out = "y%d_%g" % (length, scale)
                fill = 2.5 if mode == "tf_crop_and_resize" else 0.0
                settings = dict(mode="nearest", coordinate_transformation_mode=mode, nearest_mode=rounding, extrapolation_value=fill)
                by_scale = node("Resize", [line, roi, n.constant(np.array([1, 1, scale], F))], [out], **settings)
                n.part(out + mode + rounding, [by_scale], out, nearest(own, 2, mode, rounding, scale, size, region, fill))
                by_size = node("Resize", [line, roi, "", n.constant(np.array([2, 1, size]))], [out + "s"], **settings)
                n.part(out + "s" + mode + rounding, [by_size], out + "s",
                       nearest(own, 2, mode, rounding, F(size) / F(length), size, region, fill))
        done += n.check(echo, folder, x)
    return done


def resize_planes(echo, folder, random):
    """Two axes named by `axes` in any order, and one scale for both."""
    x = random.standard_normal((2, 2 * 7 * 9)).astype(F)
    image = x.reshape(2, 2, 7, 9)
    n = Network(x.shape[1], 18)
    n.nodes.append(node("Reshape", ["x", n.constant(np.array([0, 2, 7, 9]))], ["image"]))
    for axes, policy, (a, b) in itertools.product(([2, 3], [3, 2], [-1, -2]), ("stretch", "not_larger", "not_smaller"),
                                                  ((3, 4), (10, 5), (14, 18), (20, 21), (5, 11))):
        sizes = dict(zip([k % 4 for k in axes], (a, b)))
        scales = {k: F(s) / F(image.shape[k]) for k, s in sizes.items()}
        if policy != "stretch":
            one = (min if policy == "not_larger" else max)(scales.values())
            scales = {k: one for k in scales}
            sizes = {k: int(np.floor(one * F(image.shape[k]) + F(0.5))) for k in scales}
        y = image
        for k in scales:
            y = nearest(y, k, "half_pixel", "round_prefer_floor", scales[k], sizes[k])
        out = "p%d" % len(n.parts)
        n.part("%s %s %d %d" % (axes, policy, a, b), [
            node("Resize", ["image", "", "", n.constant(np.array([a, b]))], [out], mode="nearest", axes=axes,
                 keep_aspect_ratio_policy=policy)], out, y)
    for axis, scale in ((1, 2.0), (2, 0.6), (3, 1.4), (-2, 2.3)):
        out, k = "p%d" % len(n.parts), axis % 4
        y = nearest(image, k, "half_pixel", "round_prefer_floor", scale, int(F(scale) * F(image.shape[k])))
        n.part("axis %d" % axis, [node("Resize", ["image", "", n.constant(np.array([scale], F))], [out], mode="nearest", axes=[axis])],
               out, y)
    return n.check(echo, folder, x)


# Constants: Python's integers of any size, wrapped at the width of their type.
KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def wrap(v, kind):
    bits = 8 * int(kind[1])
    v &= (1 << bits) - 1
    return v - (1 << bits) if kind[0] == "i" and v >> (bits - 1) else v


def truncated(a, b):
    q = abs(a) // abs(b)
    return -q if (a < 0) != (b < 0) else q


BINARY = {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b, "Div": truncated,
    "Mod": lambda a, b: a % b, "Fmod": lambda a, b: a - b * truncated(a, b), "Min": min, "Max": max,
    "Pow": lambda a, b: a ** (abs(b) % 9), "BitwiseAnd": lambda a, b: a & b, "BitwiseOr": lambda a, b: a | b,
    "BitwiseXor": lambda a, b: a ^ b, "LEFT": lambda a, b: a << (abs(b) % 9), "RIGHT": lambda a, b: a >> (abs(b) % 9),
    "Equal": lambda a, b: a == b, "Less": lambda a, b: a < b, "Greater": lambda a, b: a > b, "LessOrEqual": lambda a, b: a <= b,
    "GreaterOrEqual": lambda a, b: a >= b}
UNARY = {"Neg": lambda a: -a, "Abs": abs, "Sign": lambda a: (a > 0) - (a < 0), "BitwiseNot": lambda a: ~a, "Relu": lambda a: max(a, 0)}
REDUCE = {"ReduceSum": sum, "ReduceProd": lambda v: v[0] * v[1] * v[2], "ReduceMax": max, "ReduceMin": min,
          "ReduceL1": lambda v: sum(abs(a) for a in v), "ReduceSumSquare": lambda v: sum(a * a for a in v)}
COUNT = 12


class Folded:
    """Networks of x * 0 plus a constant that is computed in the file."""

    def __init__(self):
        self.network = Network(COUNT, 18)
        self.network.nodes.append(node("Mul", ["x", self.network.constant(np.zeros(COUNT, F))], ["zero"]))

    def part(self, name, nodes, last, expected):
        out = "out%d" % len(self.network.parts)
        expected = np.broadcast_to(np.asarray([float(v) for v in expected], F), (2, COUNT))
        self.network.part(name, nodes + [node("Cast", [last], [out + "f"], to=1), node("Add", ["zero", out + "f"], [out])], out, expected)


def operands(kind, op, random):
    info = np.iinfo(kind)
    edge = [info.min, info.max, info.min + 1, 1, 2, 3, 5, 7, info.max // 2, info.max - 1, 11, info.max // 3]
    a, b = [random.permutation(np.array(edge, kind)) for _ in range(2)]
    if op in ("Pow", "LEFT", "RIGHT"):
        b = np.array([abs(int(v)) % 9 for v in b], kind)
    if op in ("Div", "Mod", "Fmod"):
        b[b == 0] = 3
    return a, b


def folding(echo, folder, random):
    """Every operator on every type, followed by one that would show a value that did not wrap."""
    f = Folded()
    for kind, op in itertools.product(KINDS, BINARY):
        if op in ("LEFT", "RIGHT") and kind[0] == "i":
            continue
        a, b = operands(kind, op, random)
        names = [f.network.constant(a), f.network.constant(b)]
        out = "k%d" % len(f.network.parts)
        first = {"Fmod": lambda: node("Mod", names, [out], fmod=1), "LEFT": lambda: node("BitShift", names, [out], direction="LEFT"),
                 "RIGHT": lambda: node("BitShift", names, [out], direction="RIGHT")}.get(op, lambda: node(op, names, [out]))()
        values = [wrap(int(BINARY[op](int(p), int(q))), kind) for p, q in zip(a, b)]
        if op in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
            f.part(op + kind, [first], out, values)
            continue
        half = f.network.constant(np.full(COUNT, 2, kind))
        f.part(op + kind, [first, node("Div", [out, half], [out + "h"])], out + "h", [truncated(v, 2) for v in values])
    for kind, op in itertools.product(KINDS, UNARY):
        a, _ = operands(kind, op, random)
        out = "k%d" % len(f.network.parts)
        f.part(op + kind, [node(op, [f.network.constant(a)], [out])], out, [wrap(UNARY[op](int(v)), kind) for v in a])
    for kind, op in itertools.product(KINDS, REDUCE):
        a, _ = operands(kind, op, random)
        out = "k%d" % len(f.network.parts)
        axes = [f.network.constant(np.array([1]))] if op == "ReduceSum" else []
        how = {} if axes else {"axes": [1]}
        rows = [wrap(int(REDUCE[op]([int(v) for v in row])), kind) for row in a.reshape(4, 3)]
        f.part(op + kind, [node(op, [f.network.constant(a.reshape(4, 3))] + axes, [out], keepdims=1, **how),
                           node("Expand", [out, f.network.constant(np.array([4, 3]))], [out + "e"]),
                           node("Reshape", [out + "e", f.network.constant(np.array([12]))], [out + "r"])],
               out + "r", np.repeat(rows, 3).tolist() if kind != "u8" else [v for v in rows for _ in range(3)])
    for kind, to in itertools.product(KINDS, KINDS):
        a, _ = operands(kind, "Cast", random)
        out = "k%d" % len(f.network.parts)
        f.part("Cast %s %s" % (kind, to), [node("Cast", [f.network.constant(a)], [out], to=TYPES[to])], out, [wrap(int(v), to) for v in a])
    for to in KINDS[2:6]:
        a = np.array([0, -0.0, 0.5, 0.99, 1.5, 99.999, 127, 100, 3, 2.5, 7, 11], F) * (-1 if to[0] == "i" else 1)
        out = "k%d" % len(f.network.parts)
        f.part("Cast f4 " + to, [node("Cast", [f.network.constant(a)], [out], to=TYPES[to])], out, [wrap(int(v), to) for v in a])
    a = (random.standard_normal(COUNT) * 10.0 ** random.integers(-8, 5, COUNT)).astype(F)
    out = "k%d" % len(f.network.parts)
    f.part("Cast f4 f2", [node("Cast", [f.network.constant(a)], [out], to=10)], out, a.astype(np.float16))
    return f.network.check(echo, folder, np.ones((2, COUNT), F))


def main(echo):
    random = np.random.default_rng(11)
    with tempfile.TemporaryDirectory() as folder:
        done = resize_lines(echo, folder, random) + resize_planes(echo, folder, random)
        assert done > 10000, done
        folded = folding(echo, folder, random)
        assert folded > 250, folded
    print("%d cases" % (done + folded))


if __name__ == "__main__":
    main(sys.argv[1])
