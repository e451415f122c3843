#!/usr/bin/env python3
"""Two clients at one server, one of them greedy: how much longer do the other's jobs take than when it is alone? The server has
one core, the clients another, on which the modest one goes first, as if it had a machine of its own.

usage: two_clients.py FUSION SOURCE FOLDER [JOBS [WORKERS]]     5 jobs each way by default, against 8 connections
FOLDER is what `examples/mnist.py --only mlp --out FOLDER` wrote. Fails when the modest client's median is more than twice that
of an idle server."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

if len(sys.argv) < 4:
    sys.exit(__doc__)
sys.path.insert(0, str(Path(sys.argv[2]).resolve() / "tests/cli"))
from service_scene import FUSION, Server, as_client, make_authority, make_certificate, run  # noqa: E402

FOLDER = Path(sys.argv[3]).resolve()
JOBS, WORKERS = (int(a) for a in (sys.argv[4:] + ["5", "8"][len(sys.argv) - 4:])[:2])
MOST = 2.0


def ask(port, name, *options):
    return [FUSION, "query", f"localhost:{port}", "--quiet", "--input", f"{name}_queries.npy", "--public", FOLDER / "public.npy", "--labels",
            FOLDER / "public_labels.npy", "--min-accuracy", "0.9", "--clip", "yes", "-o", f"{name}.npy", *as_client(name),
            *options]


def modest(port):
    """Seconds of a job of one connection."""
    run(*ask(port, "modest", "--workers", "1", "--report", "report.json"))
    return json.loads(Path("report.json").read_text())["seconds"]


def several(port):
    return [modest(port) for _ in range(JOBS)]


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_authority("ca")
        for name, use in (("server", "serverAuth"), ("modest", "clientAuth"), ("greedy", "clientAuth")):
            make_certificate("ca", name, use, name)
        run(FUSION, "compile", FOLDER / "mlp.onnx", "--calibrate", FOLDER / "calib.npy", "-o", "mlp.fsn")
        queries = np.load(FOLDER / "queries.npy")
        np.save("modest_queries.npy", queries[:128])
        np.save("greedy_queries.npy", queries[np.arange(20000) % len(queries)])
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[0]})
        server = Server("--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key", "--client-ca", "ca.pem",
                        "--max-clients", str(2 * WORKERS + 4), model="mlp.fsn")
        os.sched_setaffinity(0, {cores[-1]})
        several(server.port)  # caches fill
        alone = several(server.port)
        greedy = subprocess.Popen(["nice", "-n", "19", *map(str, ask(server.port, "greedy", "--workers", str(WORKERS)))],
                                  stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        beside = several(server.port)
        still_there = greedy.poll() is None
        greedy.terminate()
        greedy.communicate()
        server.stop()
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"128 queries alone {statistics.median(alone):.2f} s, beside {WORKERS} connections of another client "
          f"{statistics.median(beside):.2f} s: {ratio:.2f} times as long (medians of {JOBS})")
    assert still_there, "the greedy client's job ended before the modest one's"
    return ratio > MOST


if __name__ == "__main__":
    sys.exit(main())
