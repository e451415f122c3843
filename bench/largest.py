#!/usr/bin/env python3
"""The largest job: 2^19 private queries of the MNIST MLP, 3 copies of each, 100 public samples, 1,572,964 samples in all, as
tasks of an executor. Says what every process held at its peak, and compares every answer with Model.run.

usage: largest.py FOLDER [--build FOLDER] [--queries N] [--workers N] [--shard N] [--dask]
FOLDER is what `examples/mnist.py --only mlp --out FOLDER` wrote. Runs --workers processes beside the coordinator, each with a
replica of `fusion serve`, all on this machine over loopback: Python's own processes, or with --dask a scheduler and workers
of Dask. At 1 ms a sample the whole takes half an hour."""
import argparse
import contextlib
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
    parser.add_argument("--dask", action="store_true", help="workers of Dask (Debian: python3-distributed)")
    return parser.parse_args()


@contextlib.contextmanager
def running(command):
    """A process for as long as the block lasts."""
    process = subprocess.Popen(command, env={**os.environ, "DASK_LOGGING__DISTRIBUTED": "warning"})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def replica(build, model, ready):
    """`fusion serve` as a process, and its address."""
    with running([build / "fusion", "serve", model, "--listen", "127.0.0.1:0", "--plaintext", "--quiet", "--max-samples",
                  str(1 << 22), "--ready-file", ready]) as server:
        while not (ready.exists() and ready.read_text().strip()):
            if server.poll() is not None:
                sys.exit("largest.py: the server did not start")
            time.sleep(0.1)
        yield server, "127.0.0.1:" + re.search(r"(\d+)\s*$", ready.read_text())[1]


@contextlib.contextmanager
def processes(workers):
    """An executor of Python's processes, and a function that names every process of it."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor, lambda: {f"worker {i}": pid for i, pid in enumerate(executor._processes, 1)}


@contextlib.contextmanager
def cluster(workers, folder):
    """The same of Dask: a scheduler and workers."""
    import distributed
    with contextlib.ExitStack() as stack:
        def begin(module, *arguments):
            return stack.enter_context(running([sys.executable, "-m", module, "--scheduler-file", folder / "scheduler.json",
                                                "--no-dashboard", *arguments])).pid
        pids = {"scheduler": begin("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")}
        for i in range(1, workers + 1):
            pids[f"worker {i}"] = begin("distributed.cli.dask_worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
        dask = stack.enter_context(distributed.Client(scheduler_file=str(folder / "scheduler.json"), timeout="60s"))
        dask.wait_for_workers(workers, timeout=60)
        yield dask.get_executor(), lambda: pids


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
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        model.save(work / "mlp.fsn")
        servers = [stack.enter_context(replica(args.build, work / "mlp.fsn", work / f"port{i}")) for i in range(args.workers)]
        executor, pids = stack.enter_context(cluster(args.workers, work) if args.dask else processes(args.workers))
        client = fusion.Client([address for _, address in servers], plaintext=True, min_accuracy=0.92, clip=True,
                               shard_samples=args.shard)
        started = time.monotonic()
        result = client.predict(X, public=(given, labels), executor=executor, workers=args.workers)
        seconds = time.monotonic() - started
        held = peak()
        peaks = {name: peak(pid) for name, pid in pids().items()}
        peaks.update({f"server {i}": peak(server.pid) for i, (server, _) in enumerate(servers, 1)})
    verdict = result.verdict
    print(verdict)
    say("seconds", f"{seconds:.1f}, {1e3 * seconds / verdict.samples:.3f} ms a sample")
    say("bytes", f"{verdict.bytes_sent + verdict.bytes_received}, "
        f"{(verdict.bytes_sent + verdict.bytes_received) / verdict.samples / 1024:.1f} KiB a sample")
    say("queries", f"{X.nbytes / 2**20:.0f} MiB as the caller's array")
    say("coordinator", f"{held / 2**20:.0f} MiB at its peak, {(held - before) / 2**20:.0f} of them the job's")
    for name, most in peaks.items():
        say(name, f"{most / 2**20:.0f} MiB at its peak")
    expected = model.run(some, clip=True).raw
    equal = verdict.accepted and bool((result.raw == expected[np.arange(args.queries) % len(some)]).all())
    say("equal", "yes" if equal else "NO")
    return 0 if equal and held < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
