"""Jobs on executors: processes, several servers, lost tasks."""
import multiprocessing
import os
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import fusion
from fusion import _tasks


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_executor__processes_answer_like_the_model(client, model, public, queries, processes):
    r = client.predict(queries, public=public, executor=processes, shard_samples=200)
    assert (r.raw == model.run(queries).raw).all()
    assert r.verdict.workers > 2 and r.verdict.bytes_sent > 10000
    assert client.audit(public[0][:30], public[1][:30], executor=processes).accepted


def test_servers__several_share_one_job(model, server, public, queries):
    with fusion.Server(model, plaintext=True) as other:
        both = fusion.Client([server.address, other.address], plaintext=True, min_accuracy=0.85)
        before = server.totals.samples
        r = both.predict(queries, public=public, shard_samples=100)
        assert (r.raw == model.run(queries).raw).all() and other.address in repr(both)
    assert server.totals.samples > before and other.totals.samples > 0
    with pytest.raises(fusion.UsageError, match="at least one"):
        fusion.Client([], plaintext=True)


class Losing(Executor):
    """Loses the first tasks, as a machine that goes down does."""

    _max_workers = 2

    def __init__(self, inner, losses):
        self.inner, self.losses, self.given = inner, losses, 0

    def submit(self, function, *arguments):
        self.given += 1
        if self.given > self.losses:
            return self.inner.submit(function, *arguments)
        lost = Future()
        lost.set_exception(RuntimeError("the machine went down"))
        return lost


def test_tasks__that_are_lost_run_again(client, model, public, queries):
    with ThreadPoolExecutor(2) as inner:
        losing = Losing(inner, 2)
        r = client.predict(queries, public=public, executor=losing, shard_samples=100)
        assert (r.raw == model.run(queries).raw).all()
        with pytest.raises(fusion.ClosedError, match="tries of a shard failed.*the machine went down"):
            client.predict(queries, public=public, executor=Losing(inner, 10**6))


class Renewed(Executor):
    """A pool of one process, begun anew when the process dies. The first task kills it."""

    _max_workers = 1

    def __init__(self):
        self.pool, self.killed = None, 0

    def submit(self, function, *arguments):
        if self.pool is None or self.pool._broken:
            self.pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        if not self.killed:
            self.killed += 1
            return self.pool.submit(os._exit, 1)
        return self.pool.submit(function, *arguments)


def test_tasks__of_a_killed_process_run_again(client, model, public, queries):
    renewed = Renewed()
    r = client.predict(queries, public=public, executor=renewed)
    assert renewed.killed == 1 and (r.raw == model.run(queries).raw).all()
    renewed.pool.shutdown()


class Hanging(Executor):
    def submit(self, function, *arguments):
        return Future()


def test_tasks__that_hang_do_not_outlive_their_job(client, public, queries):
    started = time.monotonic()
    with pytest.raises(fusion.ClosedError, match="cancelled"):
        client.predict(queries, public=public, executor=Hanging(), progress=lambda p: time.monotonic() - started < 1)
    assert time.monotonic() - started < 20


def test_tasks__failures_keep_their_class(client, mlp, digits, server, public, queries, processes):
    with pytest.warns(fusion.FusionWarning):
        changed = fusion.compile(mlp, digits[0][:200], bits=(5, 9))
    with fusion.Server(changed, plaintext=True) as other:
        mixed = fusion.Client([other.address, server.address], plaintext=True, min_accuracy=0.5)
        with pytest.raises(fusion.PeerError, match="another model"):
            mixed.predict(queries, public=public, executor=processes, shard_samples=50)
    with pytest.raises(fusion.UsageError, match="receipts are for jobs that run here"):
        client.predict(queries, public=public, executor=processes, receipts=True)
    with pytest.raises(fusion.InputError, match="no task of this release"):
        _tasks.run_task({"server": server.address, "plaintext": True}, b"nonsense")


def test_tasks__carry_no_labels_and_no_settings_of_the_check(client, public, queries):
    seen = []

    class Watching(ThreadPoolExecutor):
        def submit(self, function, settings, task, run):
            seen.append((settings, task))
            return super().submit(function, settings, task, run)
    with Watching(1) as pool:
        few = client.predict(queries, public=public, executor=pool)
    assert few.accepted and set(seen[0][0]) <= _tasks.OF_CONNECTION | {"server", "workers"}
    samples = sum(len(task) for _, task in seen)
    assert samples < few.verdict.samples * (queries.shape[1] * 2) + 4096 * len(seen)
    assert not any(np.asarray(public[1][:50], np.int64).tobytes() in task for _, task in seen)
