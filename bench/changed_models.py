#!/usr/bin/env python3
"""How often canaries show that a server has another model than the audited one, on MNIST: in the clear and in real jobs.

usage: changed_models.py MNIST FOLDER [--build FOLDER] [--networks mlp,cnn] [--changes NAME,...] [--jobs 100] [--security BITS]
                         [--seed N]
MNIST holds train60k.npz; FOLDER is what `examples/mnist.py --out FOLDER` wrote.

Compiles each network, audits it, and alters its weights as a dishonest server would: the file keeps its manifest and its
model id, so that nothing is announced. For each change prints the part of 1,000 test images whose exact answer differs, and
plays --jobs jobs of one private query: `fusion serve` with the altered file, `fusion query --canaries` with 25 canaries. These
are all the rows of a file that is drawn from the audit's for each job, so the script knows which canaries the job has, and how
many of their answers change. Every job must reject exactly when that is not 0, and report that number. Exit status 0; 1 when a
job did not."""
import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import interpreter  # noqa: E402

interpreter.need("numpy", "torch", "onnx")
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from torch.nn import functional as F  # noqa: E402

CANARIES = 25  # what the plan takes for one query at 40 bits
AUDITED, TESTED, RETRAINED = 300, 1000, 20000
REJECT_CHANGED = 13


def call(*words, allowed=(0,)):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode not in allowed:
        raise RuntimeError(f"{' '.join(str(w) for w in words)}: {done.stderr.strip() or done.returncode}")
    return done


class Network:
    """A chain of Conv, Gemm, Relu, MaxPool and Flatten, as examples/mnist.py exports them."""

    def __init__(self, path):
        graph = onnx.load(str(path)).graph
        self.nodes = list(graph.node)
        self.values = {i.name: torch.tensor(numpy_helper.to_array(i)) for i in graph.initializer}
        self.layers = [tuple(n.input[1:]) for n in self.nodes if n.op_type in ("Conv", "Gemm")]

    def copy(self, random):
        """Another one with the same weights, or with new random ones."""
        other = object.__new__(Network)
        other.nodes, other.layers, other.values = self.nodes, self.layers, {}
        for weight, bias in self.layers:
            bound = 1 / np.sqrt(self.values[weight][0].numel())
            for name in (weight, bias):
                old = self.values[name]
                other.values[name] = torch.empty_like(old).uniform_(-bound, bound) if random else old.clone()
        return other

    def forward(self, x):
        for n in self.nodes:
            of = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
            if n.op_type in ("Conv", "Gemm"):
                w, b = (self.values[name] for name in n.input[1:])
                x = F.conv2d(x, w, b, of["strides"], of["pads"][:2]) if n.op_type == "Conv" else F.linear(x, w, b)
            elif n.op_type == "Relu":
                x = F.relu(x)
            elif n.op_type == "MaxPool":
                x = F.max_pool2d(x, of["kernel_shape"], of["strides"])
            elif n.op_type == "Flatten":
                x = x.flatten(1)
            else:
                raise RuntimeError(f"operator {n.op_type} is not known here")
        return x

    def train(self, images, labels, epochs, rate):
        parameters = [self.values[name].requires_grad_() for layer in self.layers for name in layer]
        optimizer = torch.optim.Adam(parameters, lr=rate)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(128):
                optimizer.zero_grad()
                F.cross_entropy(self.forward(images[rows]), labels[rows]).backward()
                optimizer.step()
        for p in parameters:
            p.requires_grad_(False)
        return self


class Compiled:
    """A .fsn file whose weights can be replaced; layout: src/program/fsn.h."""

    def __init__(self, fusion, path):
        self.data, self.steps = bytearray(path.read_bytes()), json.loads(call(fusion, "inspect", path, "--json").stdout)["layers"]
        number = lambda at, size: int.from_bytes(self.data[at:at + size], "little")
        at = 12 + 8 + number(12, 8) + 8 + 32  # magic, version, manifest, length of the rest, salt
        self.linear = []  # step, place of the weights, of the biases
        for i, step in enumerate(self.steps):
            at += 2 + number(at, 2) + (8 if 0 < i < len(self.steps) - 1 else 0)
            if step["kind"] == "linear":
                self.linear.append((i, at, at + 2 * step["weights"]))
                at += 2 * step["weights"] + 8 * step["shape"][0]
        assert at == len(self.data) - 8

    def weights(self):
        return [np.frombuffer(self.data, "<i2", self.steps[i]["weights"], at).copy() for i, at, _ in self.linear]

    def save(self, path, weights, biases=None):
        data = bytearray(self.data)
        for k, (i, at, bias_at) in enumerate(self.linear):
            data[at:bias_at] = weights[k].astype("<i2").tobytes()
            if biases:
                data[bias_at:bias_at + 8 * len(biases[k])] = biases[k].astype("<i8").tobytes()
        data[-8:] = checksum(bytes(data[:-8])).to_bytes(8, "little")
        path.write_bytes(data)

    def quantise(self, network):
        """The network's weights and biases in this file's units."""
        weights, biases = [], []
        for (i, _, _), (weight, bias) in zip(self.linear, network.layers):
            step, before = self.steps[i], self.steps[i - 1]
            most = (1 << (step["weight_bits"] - 1)) - 1
            scaled = network.values[weight].numpy().astype(float) * before["scale"] / step["scale"]
            weights.append(np.clip(np.rint(scaled), -most, most).astype(np.int16).ravel())
            biases.append(np.rint(network.values[bias].numpy().astype(float) / step["scale"]).astype(np.int64))
        return weights, biases


def checksum(data):
    """fsn_checksum."""
    mask, golden = (1 << 64) - 1, 0x9E3779B185EBCA87
    state = 0x9E3779B97F4A7C15 ^ len(data)
    for at in range(0, len(data), 8):
        mixed = state ^ int.from_bytes(data[at:at + 8], "little") * 0xC2B2AE3D27D4EB4F & mask
        state = (((mixed << 27 | mixed >> 37) & mask) * golden + 1) & mask
    state = (state ^ state >> 33) * 0xFF51AFD7ED558CCD & mask
    return state ^ state >> 29


class Canaries:
    """What `fusion audit` wrote; layout: docs/protocols/canaries.md."""

    def __init__(self, path):
        d = self.data = path.read_bytes()
        number = lambda at, size: int.from_bytes(d[at:at + size], "little")
        self.head = 14 + 96 + 2 + number(110, 2) + 8  # up to T
        at = self.head + 16
        at += 4 + 20 * number(at, 4)
        rows, n, m = number(at, 8), number(at + 8, 4), number(at + 12, 4)
        self.sizes, self.labels_at = d[at + 8:at + 16], at + 16
        self.rows_at, self.row_len, self.rows = at + 16 + 4 * rows, n * d[12] + m * d[13], rows

    def save(self, path, chosen):
        """A file of the chosen rows alone, as an audit of these samples would have written it, all labels right."""
        d = self.data
        labels = [int.from_bytes(d[self.labels_at + 4 * r:self.labels_at + 4 * r + 4], "little") for r in chosen]
        kinds = sorted(set(labels))
        out = d[:self.head] + len(chosen).to_bytes(8, "little") + bytes(8) + len(kinds).to_bytes(4, "little")
        for k in kinds:
            out += k.to_bytes(4, "little") + labels.count(k).to_bytes(8, "little") + bytes(8)
        out += len(chosen).to_bytes(8, "little") + self.sizes + b"".join(k.to_bytes(4, "little") for k in labels)
        for r in chosen:
            out += d[self.rows_at + r * self.row_len:self.rows_at + (r + 1) * self.row_len]
        path.write_bytes(out + hashlib.blake2b(out, digest_size=32).digest())
        os.chmod(path, 0o600)

    def row(self, r):
        return self.data[self.rows_at + r * self.row_len:self.rows_at + (r + 1) * self.row_len]


class Server:
    """`fusion serve` in plaintext on loopback, while the block runs."""

    def __init__(self, fusion, model, folder):
        self.ready = folder / "port"
        self.words = [fusion, "serve", model, "--listen", "127.0.0.1:0", "--plaintext", "--quiet", "--grace-s", "1"]

    def __enter__(self):
        self.ready.unlink(missing_ok=True)
        self.process = subprocess.Popen([*map(str, self.words), "--ready-file", str(self.ready)], stderr=subprocess.DEVNULL)
        while not (self.ready.exists() and self.ready.read_text().strip()):
            if self.process.poll() is not None:
                raise RuntimeError("fusion serve ended")
            time.sleep(0.02)
        return "127.0.0.1:" + self.ready.read_text().strip().rsplit(":", 1)[-1]

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def prune(weights, network, part):
    """The part of each layer's weights that is smallest in the float network becomes 0."""
    out = []
    for w, (name, _) in zip(weights, network.layers):
        size = network.values[name].abs().numpy().ravel()
        out.append(np.where(size <= np.quantile(size, part), 0, w).astype(np.int16))
    return out


def halve(weights):
    """Multiples of 2 alone, where these are not beyond the layer's largest weights."""
    return np.clip(2 * np.rint(weights / 2), weights.min(), weights.max())


def one_weight(weights, compiled, random):
    out = [w.copy() for w in weights]
    at = int(random.integers(sum(w.size for w in out)))
    for w, (i, _, _) in zip(out, compiled.linear):
        if at < w.size:
            most = (1 << (compiled.steps[i]["weight_bits"] - 1)) - 1
            w[at] += -1 if w[at] == most or (w[at] > -most and random.integers(2)) else 1
            return out
        at -= w.size
    raise AssertionError


def changes(network, compiled, images, labels, random):
    """Name, and a function that gives weights and biases (None: the audited ones)."""
    audited = compiled.weights()
    yield "seed", "trained from another seed", lambda: compiled.quantise(network.copy(True).train(images, labels, 2, 1e-3))
    yield "epoch", "trained for one more epoch", lambda: compiled.quantise(network.copy(False).train(images, labels, 1, 1e-4))
    yield "weight", "one random weight by one unit", lambda: (one_weight(audited, compiled, random), None)
    yield "prune10", "the smallest 10 % of the weights set to 0", lambda: (prune(audited, network, 0.1), None)
    yield "prune50", "the smallest 50 % set to 0", lambda: (prune(audited, network, 0.5), None)
    yield "requantise", "weights with one bit less", lambda: ([halve(w) for w in audited], None)


class Scene:
    """One network, compiled and audited."""

    def __init__(self, name, args, work, random):
        self.fusion, self.work, self.random, self.args = args.build / "fusion", work, random, args
        self.network, self.model = Network(args.folder / f"{name}.onnx"), work / "model.fsn"
        call(self.fusion, "compile", args.folder / f"{name}.onnx", "--calibrate", args.folder / "calib.npy", "--no-equalise", "-o",
             self.model)
        self.compiled = Compiled(self.fusion, self.model)
        for name, part in (("test", TESTED), ("public", AUDITED), ("public_labels", AUDITED)):
            np.save(work / f"{name}.npy", np.load(args.folder / f"{name}.npy")[:part])
        self.queries = np.load(args.folder / "queries.npy")
        with Server(self.fusion, self.model, work) as address:
            call(self.fusion, "audit", address, "--plaintext", "--quiet", "--public", work / "public.npy", "--labels",
                 work / "public_labels.npy", "--clip", "yes", "--min-accuracy", "0.9", "--security", args.security, "--canaries",
                 work / "canaries")
        self.canaries = Canaries(work / "canaries")
        self.right, self.audit = self.run(self.model, "test"), self.run(self.model, "public")
        self.order = self.match()

    def run(self, model, samples):
        call(self.fusion, "run", model, "--input", self.work / f"{samples}.npy", "--clip", "yes", "-o", self.work / "out.npy")
        return np.load(self.work / "out.npy")

    def match(self):
        """Which public sample each canary is: the audit kept them in random order. Answers tell them apart."""
        width, size = self.canaries.data[13], self.audit.shape[1]
        known = {b"".join(int(v).to_bytes(width, "little", signed=True) for v in a): i for i, a in enumerate(self.audit)}
        return [known[self.canaries.row(r)[-size * width:]] for r in range(self.canaries.rows)]

    def job(self, address, differ):
        """Canaries whose answer changes, and how many the verdict of a job counts."""
        chosen = self.random.choice(self.canaries.rows, CANARIES, replace=False)
        self.canaries.save(self.work / "drawn", [int(r) for r in chosen])
        np.save(self.work / "query.npy", self.queries[self.random.integers(len(self.queries))][None])
        done = call(self.fusion, "query", address, "--plaintext", "--quiet", "--input", self.work / "query.npy", "--clip", "yes",
                    "--canaries", self.work / "drawn", "--min-canaries", CANARIES, "--security", self.args.security, "--json",
                    allowed=(0, REJECT_CHANGED))
        verdict = json.loads(done.stdout)
        assert verdict["canaries"] == CANARIES
        return int(sum(differ[self.order[r]] for r in chosen)), verdict["changed_canaries"], done.returncode == REJECT_CHANGED

    def alter(self, weights, biases):
        """Writes altered.fsn: the parts of weights, answers and labels that change, and which public samples' answers do."""
        altered = self.work / "altered.fsn"
        self.compiled.save(altered, weights, biases)
        answers = self.run(altered, "test")
        moved = np.mean(np.concatenate(weights) != np.concatenate(self.compiled.weights()))
        parts = moved, (answers != self.right).any(1).mean(), (answers.argmax(1) != self.right.argmax(1)).mean()
        return parts, (self.run(altered, "public") != self.audit).any(1)

    def play(self, make, fresh):
        """A row of the table, and whether every job went as computed in the clear. `fresh`: another change for each job."""
        parts, seen, caught, good, jobs = [], 0, 0, True, self.args.jobs
        for turns in [1] * jobs if fresh else [jobs]:
            part, differ = self.alter(*make())
            parts.append(part)
            with Server(self.fusion, self.work / "altered.fsn", self.work) as address:
                for _ in range(turns):
                    due, changed, rejected = self.job(address, differ)
                    seen, caught, good = seen + (due > 0), caught + rejected, good and due == changed and rejected == (due > 0)
        moved, answers, labels = 100 * np.mean(parts, axis=0)
        none = f"; in {sum(p[1] == 0 for p in parts)} of {jobs} tries none" if fresh else ""
        return (f"{moved:.3g} %", f"{answers:.1f} %{none}", f"{labels:.2f} %", jobs, seen, caught), good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("mnist", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--networks", default="mlp,cnn")
    parser.add_argument("--changes", help="some of seed,epoch,weight,prune10,prune50,requantise")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--security", type=int, default=40,
                        help="bits, of audit and jobs; fewer make them shorter and leave the canaries as they are")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends, too
    with np.load(args.mnist / "train60k.npz") as archive:
        images = torch.from_numpy((archive["images"][:RETRAINED].astype("float32") / 255)[:, None])
        labels = torch.from_numpy(archive["labels"][:RETRAINED].astype(np.int64))
    print("| network | change after the audit | weights that change | answers | labels | jobs | a canary changes | rejected |")
    print("|---|---|--:|--:|--:|--:|--:|--:|", flush=True)
    good = True
    for name in args.networks.split(","):
        torch.manual_seed(args.seed)
        random = np.random.default_rng(args.seed)
        with tempfile.TemporaryDirectory() as folder:
            scene = Scene(name, args, Path(folder), random)
            for short, change, make in changes(scene.network, scene.compiled, images, labels, random):
                if args.changes and short not in args.changes.split(","):
                    continue
                row, right = scene.play(make, short == "weight")
                good = good and right
                print(f"| {name} | {change} | {' | '.join(map(str, row))} |" + ("" if right else " NOT AS COMPUTED"), flush=True)
    sys.exit(0 if good else 1)


main()
