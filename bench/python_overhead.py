#!/usr/bin/env python3
"""What Python adds to a job: the same 512 private queries of the MNIST MLP by `fusion query` and by Client.predict, by turns.

usage: python_overhead.py FOLDER [--build FOLDER] [--queries 512] [--turns 7]
FOLDER is what `examples/mnist.py --only mlp --out FOLDER` wrote. A server runs beside both; each turn is a process of its own.
Compared are the command from start to end, and in Python everything after the imports: reading the files, the client, the
job, writing the answers. Processor seconds are the client's own. On a machine that does other work the least of all turns
says more than their median."""
import argparse
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import json, sys, time
import numpy as np
import fusion
wall, processor = time.perf_counter(), time.process_time()
address, work = sys.argv[1], sys.argv[2]
X, public, labels = (np.load(work + "/" + n + ".npy") for n in ("queries", "public", "labels"))
result = fusion.Client(address, plaintext=True, min_accuracy=0.92, clip=True).predict(X, public=(public, labels), progress=False)
np.save(work + "/answers.npy", result.raw)
print(json.dumps({"wall": time.perf_counter() - wall, "processor": time.process_time() - processor, "job": result.verdict.seconds}))
"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", default=ROOT / "build", type=Path)
    parser.add_argument("--queries", default=512, type=int)
    parser.add_argument("--turns", default=7, type=int)
    return parser.parse_args()


def children():
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_command(build, address, work):
    wall, processor = time.perf_counter(), children()
    subprocess.run([build / "fusion", "query", address, "--plaintext", "--input", work / "queries.npy", "--public", work / "public.npy",
                    "--labels", work / "labels.npy", "--min-accuracy", "0.92", "--clip", "yes", "--raw", "--quiet", "-o",
                    work / "command.npy", "--report", work / "report.json"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return {"wall": time.perf_counter() - wall, "processor": children() - processor,
            "job": json.loads((work / "report.json").read_text())["seconds"]}


def by_python(build, address, work):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, address, work], check=True, stdout=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": str(build / "python")})
    return json.loads(done.stdout)


def prepare(args, work):
    """The files of a turn, and a server."""
    np.save(work / "queries.npy", np.load(args.folder / "queries.npy")[:args.queries])
    np.save(work / "public.npy", np.load(args.folder / "public.npy"))
    np.save(work / "labels.npy", np.load(args.folder / "public_labels.npy"))
    subprocess.run([args.build / "fusion", "compile", args.folder / "mlp.onnx", "--calibrate", args.folder / "calib.npy", "-o",
                    work / "mlp.fsn"], check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen([args.build / "fusion", "serve", work / "mlp.fsn", "--listen", "127.0.0.1:0", "--plaintext",
                               "--quiet", "--ready-file", work / "port"], stderr=subprocess.DEVNULL)
    while not ((work / "port").exists() and (work / "port").read_text().strip()):
        time.sleep(0.1)
    return server, "127.0.0.1:" + re.search(r"(\d+)\s*$", (work / "port").read_text())[1]


def main():
    args = parse()
    turns = {"command": [], "python": []}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        server, address = prepare(args, work)
        try:
            for turn in range(args.turns):
                turns["command"].append(by_command(args.build, address, work))
                turns["python"].append(by_python(args.build, address, work))
                if not np.array_equal(np.load(work / "command.npy"), np.load(work / "answers.npy")):
                    sys.exit("python_overhead.py: the answers differ")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    print(f"{args.queries} queries, {args.turns} turns\n")
    print("| seconds | | command | Python | more |\n|---|---|--:|--:|--:|")
    for key, name in (("wall", "in all"), ("job", "the job"), ("processor", "client's processor")):
        for kind, of in (("median", statistics.median), ("least", min)):
            command, python = (of([t[key] for t in turns[k]]) for k in turns)
            print(f"| {name} | {kind} | {command:.3f} | {python:.3f} | {100 * (python / command - 1):+.1f} % |")


if __name__ == "__main__":
    main()
