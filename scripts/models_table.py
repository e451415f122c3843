#!/usr/bin/env python3
"""Compiles a list of networks and writes docs/models.md: accuracies, rings, and the cost of a private run.

usage: models_table.py [--list scripts/models.json] [--data FOLDER] [--exported FOLDER] [--build FOLDER] [--work FOLDER]
                       [--secure] [--no-compile] [--only NAME] [-o docs/models.md]
The list names, for each network: the file ("onnx", under --data; .xz is unpacked; or "exported", a file of examples/imagenet.py
under --exported), images, labels (absent where weights are random), options of `fusion compile`, and the samples and
shards of the private run that --secure measures with `fusion bench model`. Networks whose file is absent are left out and named. A network's
result is kept under --work as NAME.json, beside the compiled model, so that the table grows over several runs (--only);
predictions are always those of the present build."""
import argparse
import hashlib
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import examples_table

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Models

`scripts/models_table.py` writes this page; do not edit it.

Figures of 2026-11-26, before two security parameters grew and `compile` kept a bound on the lost accuracy. Today a sample takes more bytes:
[performance](performance.md) has examples.

The first table compares fixed point with the float network, on the images that calibrated it (the first rows of the file) and on the other rows.
The columns are:

- "bits": average bits of weights and of activations (including a margin for unexpected values);
- "float", "fixed": accuracy; "agreement": samples that keep the float network's label;
- "error": root mean square error of the logits, relative to their spread;
- "MiB a sample", "delays", "predicted s": a private run of {samples} samples in one shard: MiB in both directions per sample, one-way message delays of the whole run,
  and wall time per sample over the loopback device, with one core per party;
- "measured s": that time, measured with `fusion bench model` (below); "-" means that it was not measured with this model;
- "run": seconds for one image in the clear with `fusion run`; "float": with the float reference of the same program.

Networks with random weights have no accuracy. Their labels depend on much smaller differences than those of a trained network, so
agreement is a hard measure for them.

MobileNetV2 with random weights is chaotic; this is not a property of its fixed point. Noise of 0.1 % in the images causes 5.0 % in the float
network's logits (`examples/imagenet.py` prints such figures), and noise below half a level of a byte causes 16 %. In ResNet-20, MiniONN and
SqueezeNet 1.1, which are trained, the figures are 0.1 to 0.3 % and 0.6 to 1.1 %; in the other random networks 0.1 and 0.2 %. A rounding error in
the first layers is therefore fifty times larger at the end. With 10 bits everywhere (`--bits 10,10`) the error is 15 %; it is 14 % when
PyTorch rounds weights and activations to 10 bits. `--bits auto` gives the early layers more bits. A small MobileNetV2 trained on
CIFAR-10 has an error of 1.1 % with 10 bits everywhere.

| network | bits | float | fixed | agreement | error | widest ring | MiB a sample | delays | predicted s | measured s | run / float s |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""
SECURE = """
## Private runs

These figures come from `fusion bench model`: both parties on one machine over TCP loopback, one core per party, random inputs. Every answer
equals the plaintext executor's. Processor time is given for each party; memory is for both together. The wall time includes other
work that the machine did at the same time.

| network | samples | shard | wall s a sample | server CPU s | client CPU s | MiB a sample | peak MiB, both |
|---|---|---|---|---|---|---|---|
"""


def call(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(w) for w in words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def model_file(entry, args):
    """The ONNX file, unpacked under --work if need be; None when it is not there."""
    path = args.exported / entry["exported"] if "exported" in entry else args.data / entry["onnx"]
    if path.suffix == ".xz" and path.is_file():
        plain = args.work / path.stem
        if not plain.exists():
            plain.write_bytes(lzma.open(path).read())
        return plain
    return path if path.is_file() else None


def measure(name, entry, path, args):
    fusion, fsn = args.build / "fusion", args.work / f"{name}.fsn"
    images = args.data / entry["images"]
    labels = ["--labels", args.data / entry["labels"]] if "labels" in entry else []
    options = ["--threads", args.threads] if args.threads else []
    compiled = json.loads(call(fusion, "compile", path, "-c", images, *labels, *entry["compile"], *options, "--json",
                               "-o", fsn))
    ran = json.loads(call(fusion, "run", fsn, "-i", images, *labels, "--float", path, *options, "--clip", "yes", "--json"))
    return {"compile": compiled, "run": ran, "model": digest(fsn)}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def predict(name, args):
    text = call(args.build / "fusion", "inspect", args.work / f"{name}.fsn", "--samples", args.samples, "--network", "none", "--json")
    return json.loads(text)["prediction"]


def measure_secure(name, entry, args):
    samples, shard = entry["secure"]
    r = json.loads(call(args.build / "fusion", "bench", "model", args.work / f"{name}.fsn", "--samples", samples, "--shard", shard,
                        "--runs", 1, "--quiet", "--json"))
    stages = "".join(f"{g['name']:<10} {g['seconds'] / samples:10.4f} s a sample, CPU {g['server_cpu'] / samples:.4f} / "
                     f"{g['client_cpu'] / samples:.4f} s, {(g['bytes_to_server'] + g['bytes_to_client']) / samples / 2 ** 20:.2f} MiB, "
                     f"{g['delays']} delays\n" for g in r["stages"])
    return {"model": digest(args.work / f"{name}.fsn"), "samples": samples, "shard": shard, "wall": r["seconds"] / samples,
            "mib": (r["bytes_to_server"] + r["bytes_to_client"]) / samples / 2 ** 20,
            "cpu": [r["server_cpu"] / samples, r["client_cpu"] / samples], "peak_mib": r["peak_memory"] / 2 ** 20, "stages": stages}


def row(name, result):
    c, r, p = result["compile"], result["run"], result["prediction"]
    mib = (p["bytes_to_server"] + p["bytes_to_client"]) / p["samples"] / 2 ** 20

    measured = f"{result['secure']['wall']:.3g}" if "secure" in result else "-"

    def percent(key):
        return f"{100 * r[key]:.1f} %" if key in r else "-"
    return (f"| {name} | {c['mean_weight_bits']:.1f}, {c['mean_activation_bits']:.1f} | {percent('float_accuracy')} | {percent('fixed_accuracy')} | "
            f"{percent('agreement')} of {r['samples']} | {100 * c['logit_error']:.1f} % | {c['widest_ring']} | {mib:.2f} | "
            f"{p['rounds']} | {p['seconds'] / p['samples']:.3g} | {measured} | {r['seconds'] / r['samples']:.3g} / {r['float_seconds'] / r['samples']:.3g} |\n")


def secure_row(name, s):
    return (f"| {name} | {s['samples']} | {s['shard']} | {s['wall']:.3g} | {s['cpu'][0]:.3g} | {s['cpu'][1]:.3g} | {s['mib']:.1f} | "
            f"{s['peak_mib']:.0f} |\n")


def write(results, missing, args):
    text = HEAD.format(samples=args.samples) + "".join(row(n, r) for n, r in results.items())
    if missing:
        text += f"\nIn the list, but not measured: {', '.join(missing)}.\n"
    secure = {n: r["secure"] for n, r in results.items() if "peak_mib" in r.get("secure", {})}
    if secure:
        text += SECURE + "".join(secure_row(n, s) for n, s in secure.items())
        for name, s in secure.items():
            text += f"\n{name}:\n\n```\n{s['stages'].strip()}\n```\n"
    args.output.write_text(text + "\n" + examples_table.section())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--list", default=ROOT / "scripts/models.json", type=Path)
    parser.add_argument("--data", default=ROOT / "../shared/data", type=Path)
    parser.add_argument("--exported", default=ROOT / "imagenet-out", type=Path)
    parser.add_argument("--build", default=ROOT / "build", type=Path)
    parser.add_argument("--work", default=ROOT / "build/models", type=Path)
    parser.add_argument("--secure", action="store_true", help="measure private runs too (minutes each)")
    parser.add_argument("--no-compile", action="store_true", help="models that are there stay as they are")
    parser.add_argument("--only", action="append", default=[], help="measure only this network; others as kept")
    parser.add_argument("--samples", default=16, type=int, help="of the prediction")
    parser.add_argument("--threads", default=0, type=int)
    parser.add_argument("-o", "--output", default=ROOT / "docs/models.md", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    results, missing, failed = {}, [], 0
    for name, entry in json.loads(args.list.read_text()).items():
        kept = args.work / f"{name}.json"
        path = model_file(entry, args)
        try:
            result = json.loads(kept.read_text()) if kept.exists() else None
            if path and (not args.only or name in args.only):
                print(name, flush=True)
                if not (args.no_compile and result):
                    result = {**(result or {}), **measure(name, entry, path, args)}
                if args.secure and "secure" in entry:
                    result["secure"] = measure_secure(name, entry, args)
                if result.get("secure", {}).get("model") != result["model"]:
                    result.pop("secure", None)  # of another model
                kept.write_text(json.dumps(result, indent=1))
            if result:
                result["prediction"] = predict(name, args)
        except RuntimeError as e:
            print(f"models_table.py: {name}: {e}", file=sys.stderr)
            failed, result = 1, None
        if result:
            results[name] = result
        else:
            missing.append(name)
    write(results, missing, args)
    print(os.path.relpath(args.output))
    return failed


sys.exit(main())
