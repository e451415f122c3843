#!/usr/bin/env python3
"""The largest job: 2^19 private queries of the MNIST MLP, 3 copies of each, 100 public samples, 1,572,964 samples in all, as
tasks of an executor. Says what the coordinator held at its peak, and compares every answer with Model.run.

usage: largest.py FOLDER [--build FOLDER] [--queries N] [--workers N] [--shard N]
FOLDER is what `examples/mnist.py --only mlp --out FOLDER` wrote. Runs `fusion serve` and --workers processes beside the
coordinator, all on this machine over loopback. At 1 ms a sample the whole takes half an hour."""
import argparse
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 4 << 30  # bytes that the coordinator may hold


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", default=ROOT / "build", type=Path)
    parser.add_argument("--queries", default=1 << 19, type=int)
    parser.add_argument("--workers", default=2, type=int, help="processes, a core each")
    parser.add_argument("--shard", default=4096, type=int, help="samples of a task at most")
    return parser.parse_args()


def serve(build, model, ready):
    """`fusion serve` as a process, and its address."""
    server = subprocess.Popen([build / "fusion", "serve", model, "--listen", "127.0.0.1:0", "--plaintext", "--quiet",
                               "--max-samples", str(1 << 22), "--ready-file", ready])
    while not (ready.exists() and ready.read_text().strip()):
        if server.poll() is not None:
            sys.exit("largest.py: the server did not start")
        time.sleep(0.1)
    return server, "127.0.0.1:" + re.search(r"(\d+)\s*$", ready.read_text())[1]


def peak(pid="self"):
    """Most bytes that a process held, so far."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) << 10


def say(name, value):
    print(f"{name:<12} {value}", flush=True)


def main():
    args = parse()
    sys.path.insert(0, str(args.build / "python"))
    os.environ["PYTHONPATH"] = str(args.build / "python")
    import fusion
    given, labels = np.load(args.folder / "public.npy"), np.load(args.folder / "public_labels.npy")
    some = np.load(args.folder / "queries.npy")
    model = fusion.compile(args.folder / "mlp.onnx", np.load(args.folder / "calib.npy"))
    X = np.empty((args.queries, *some.shape[1:]), some.dtype)
    X[:] = some[np.arange(args.queries) % len(some)]
    before = peak()
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "mlp.fsn"
        model.save(path)
        server, address = serve(args.build, path, Path(work) / "port")
        try:
            with ProcessPoolExecutor(args.workers, mp_context=multiprocessing.get_context("spawn")) as executor:
                client = fusion.Client(address, plaintext=True, min_accuracy=0.92, clip=True, shard_samples=args.shard)
                started = time.monotonic()
                result = client.predict(X, public=(given, labels), executor=executor, workers=args.workers)
                seconds = time.monotonic() - started
            held, serving = peak(), peak(server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    verdict = result.verdict
    print(verdict)
    say("seconds", f"{seconds:.1f}, {1e3 * seconds / verdict.samples:.3f} ms a sample")
    say("queries", f"{X.nbytes / 2**20:.0f} MiB as the caller's array")
    say("coordinator", f"{held / 2**20:.0f} MiB at its peak, {(held - before) / 2**20:.0f} of them the job's")
    say("server", f"{serving / 2**20:.0f} MiB at its peak")
    expected = model.run(some, clip=True).raw
    equal = verdict.accepted and bool((result.raw == expected[np.arange(args.queries) % len(some)]).all())
    say("equal", "yes" if equal else "NO")
    return 0 if equal and held < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
