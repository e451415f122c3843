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
    ran = sum(len(keys) for keys in dask.has_what().values())
    print(f"dask: {result.verdict.samples} samples over {result.verdict.workers} connections; {ran} results left there")
    assert result.verdict.workers > result.verdict.samples // SHARD_SAMPLES


def killed_worker_loses_nothing(ours, dask, cluster):
    """One worker is killed once tasks have ended there; the other does what is left. Then both are, and a new one comes."""
    state = {"killed": 0}

    def kill(progress, count, at):
        if state["killed"] < count and progress.samples_done >= at:
            for worker in cluster.workers[state["killed"]:count]:
                worker.kill()
            state["killed"] = count
        return True

    ours.ask(dask.get_executor(), progress=lambda p: kill(p, 1, 1), tries=5)
    assert state["killed"] == 1 and len(dask.scheduler_info()["workers"]) == 1
    later = threading.Timer(2, cluster.begin_worker)
    later.start()
    ours.ask(dask.get_executor(), progress=lambda p: kill(p, 2, 1), tries=5)
    later.join()
    assert state["killed"] == 2


def main():
    with tempfile.TemporaryDirectory() as folder, scene() as ours:
        cluster = Cluster(folder)
        try:
            dask = distributed.Client(scheduler_file=str(cluster.file), timeout="60s")
            dask.wait_for_workers(2, timeout=60)
            started = time.monotonic()
            job_equals_the_model(ours, dask)
            killed_worker_loses_nothing(ours, dask, cluster)
            print(f"dask: three jobs in {time.monotonic() - started:.1f} s")
            dask.close()
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
