"""Jobs on a real cluster of Dask: a scheduler and two workers, processes of their own, over loopback."""
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import distributed

from scene import SHARD_SAMPLES, scene


class Cluster:
    """A scheduler and workers."""

    def __init__(self, folder):
        self.file = Path(folder) / "scheduler.json"
        self.log = open(Path(folder) / "log", "w")
        self.processes = []
        self.begin("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.workers = [self.begin_worker(), self.begin_worker()]

    def begin(self, module, *arguments):
        command = [sys.executable, "-m", module, "--scheduler-file", str(self.file), *arguments]
        self.processes.append(subprocess.Popen(command, stdout=self.log, stderr=self.log))
        return self.processes[-1]

    def begin_worker(self):
        return self.begin("distributed.cli.dask_worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny",
                          "--no-dashboard")

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.log.close()


def job_equals_the_model(ours, dask):
    result = ours.ask(dask.get_executor())
    print(f"dask: {result.verdict.samples} samples over {result.verdict.workers} connections")
    assert result.verdict.workers > result.verdict.samples // SHARD_SAMPLES


class Killer:
    """Progress of a job that kills a worker once the first task has ended, and calls `after`."""

    def __init__(self, worker, after=lambda: None):
        self.worker, self.after, self.left = worker, after, 0

    def __call__(self, progress):
        if not self.left and progress.samples_done:
            self.left = progress.samples - progress.samples_done
            self.worker.kill()
            self.after()


def killed_workers_lose_nothing(ours, dask, cluster):
    """One of two workers is killed in the middle of a job, and the other does what is left. Then that one is killed, too,
    and another comes a second later."""
    first = Killer(cluster.workers[0])
    ours.ask(dask.get_executor(), progress=first)
    assert first.left and len(dask.scheduler_info()["workers"]) == 1
    later = threading.Timer(1, cluster.begin_worker)
    second = Killer(cluster.workers[1], later.start)
    ours.ask(dask.get_executor(), progress=second)
    later.join()
    assert second.left


def main():
    with tempfile.TemporaryDirectory() as folder, scene() as ours:
        cluster = Cluster(folder)
        try:
            dask = distributed.Client(scheduler_file=str(cluster.file), timeout="60s")
            dask.wait_for_workers(2, timeout=60)
            started = time.monotonic()
            job_equals_the_model(ours, dask)
            killed_workers_lose_nothing(ours, dask, cluster)
            print(f"dask: three jobs in {time.monotonic() - started:.1f} s")
            dask.close()
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
