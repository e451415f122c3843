"""Jobs on other processes and machines: shards as tasks of an executor."""
from __future__ import annotations

import itertools
import threading
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, TimeoutError

from fusion._errors import FusionError, InputError, call, make
from fusion._native import ffi, lib
from fusion._settings import new

WORKERS_DEFAULT = 8  # tasks at once of an executor that does not tell how many it runs
POLL_SECONDS = 0.1   # between two looks whether the job was given up


def run_task(settings: dict, task: bytes, run: int = 0) -> bytes:
    """Runs a task on the server that the settings name; in whatever process the executor calls it. `run` is another number
    each time: Dask takes calls with equal arguments for one."""
    length = lib.fusion_task_report_len(task, len(task))
    if not length:
        raise InputError("this is no task of this release; run the same release everywhere")
    s, _keep = new("fusion_client_settings", lib.fusion_client_init, settings, "Client")
    client = make(lib.fusion_client_open, "fusion_client", lib.fusion_client_close, s)
    report = ffi.new("uint8_t[]", length)
    call(lib.fusion_client_run_task, client, task, len(task), report)
    return bytes(ffi.buffer(report, length))


# What a worker needs of the client's settings: how the server is reached, and limits. Nothing of the check.
OF_CONNECTION = {"tls_ca", "tls_cert", "tls_key", "plaintext", "tries", "max_memory", "max_manifest", "connect_timeout_ms",
                 "timeout_ms", "max_seconds", "shard_samples"}


class TaskRunner:
    """Gives a job's tasks to an executor, to one server after another. Called by the library's threads."""

    def __init__(self, executor: Executor | None, servers: list, settings: dict):
        self._own = ThreadPoolExecutor(2 * len(servers)) if executor is None else None
        self._executor = executor or self._own
        self._servers = itertools.cycle(servers)
        self._runs = itertools.count(1)
        self._settings = {k: v if v is None or isinstance(v, (bool, int, float)) else str(v) for k, v in settings.items()
                          if k in OF_CONNECTION}
        self._settings["workers"] = 1
        self._lock = threading.Lock()
        self.given_up = False  # nobody waits for tasks any more
        self.workers = min(256, getattr(self._executor, "_max_workers", None) or WORKERS_DEFAULT)

    def _submit(self, task: bytes) -> Future:
        with self._lock:
            settings, run = {**self._settings, "server": next(self._servers)}, next(self._runs)
        return self._executor.submit(run_task, settings, task, run)

    def _wait(self, future: Future) -> bytes:
        while True:
            try:
                return future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                if self.given_up:
                    future.cancel()
                    raise CancelledError() from None

    def run(self, task: bytes) -> tuple[int, str, bytes]:
        """A status, its text, and the report."""
        try:
            return lib.FUSION_OK, "", self._wait(self._submit(task))
        except FusionError as wrong:
            return wrong.status, str(wrong), b""
        except BaseException as wrong:  # the executor's: its process or machine is gone, perhaps
            return lib.FUSION_E_CLOSED, f"a task was lost: {type(wrong).__name__}: {wrong}", b""

    def close(self) -> None:
        self.given_up = True
        if self._own is not None:
            self._own.shutdown(wait=False)


@ffi.def_extern(error=lib.FUSION_E_INTERNAL)
def fusion_python_task(context, task, length, report, report_length, err):
    status, text, data = ffi.from_handle(context).run(bytes(ffi.buffer(task, length)))
    if status == lib.FUSION_OK and len(data) != report_length:
        status, text = lib.FUSION_E_INPUT, "an executor returned no report on its task"
    if status == lib.FUSION_OK:
        ffi.memmove(report, data, report_length)
        return status
    line = text.encode(errors="replace")[:ffi.sizeof(err.text) - 1]
    err.status = status
    ffi.memmove(err.text, line + b"\0", len(line) + 1)
    return status
