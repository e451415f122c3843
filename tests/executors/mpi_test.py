"""A job on real MPI processes: three ranks, of which the first asks and two run the tasks.
usage: mpi_test.py            starts mpiexec
       mpi_test.py rank       what the ranks run"""
import os
import shutil
import subprocess
import sys
from concurrent.futures import Executor, Future

from scene import SHARD_SAMPLES, scene

RANKS = 3


def run_named(function, *arguments):
    """Of a task: in which process it ran, and its report."""
    return os.getpid(), function(*arguments)


class Seen(Executor):
    """An executor that remembers which processes ran its tasks."""

    processes: set = set()

    def __init__(self, inner):
        self.inner = inner

    def submit(self, function, *arguments):
        out, inner = Future(), self.inner.submit(run_named, function, *arguments)

        def take(done):
            if done.exception() is not None:
                return out.set_exception(done.exception())
            process, report = done.result()
            self.processes.add(process)
            return out.set_result(report)
        inner.add_done_callback(take)
        return out


def ask():
    """The first rank's part."""
    from mpi4py.futures import MPIPoolExecutor
    with MPIPoolExecutor() as executor, scene() as ours:
        executor.bootup(wait=True)
        result = ours.ask(Seen(executor))
        assert result.verdict.workers > result.verdict.samples // SHARD_SAMPLES
        assert len(Seen.processes) == RANKS - 1 and os.getpid() not in Seen.processes
        print(f"mpi: {result.verdict.samples} samples over {result.verdict.workers} connections, {len(Seen.processes)} workers")


def main():
    if sys.argv[1:] == ["rank"]:
        return ask()
    mpiexec = shutil.which("mpiexec")
    if mpiexec is None:
        print("skipped: no mpiexec; make setup installs it", file=sys.stderr)
        return 77
    root = ["--allow-run-as-root"] if os.getuid() == 0 else []
    command = [mpiexec, "-n", str(RANKS), "--oversubscribe", *root, sys.executable, "-m", "mpi4py.futures", __file__, "rank"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=240).returncode


if __name__ == "__main__":
    sys.exit(main())
