"""Asking a server: private queries, checked answers."""
from __future__ import annotations

import sys
import threading
import warnings
from concurrent.futures import Executor
from typing import Any, Callable, Sequence, Union

import numpy as np

from fusion import _arrays
from fusion._arrays import Preprocess, Samples, to_numpy
from fusion._errors import FusionWarning, RejectedError, UsageError, call, check, make
from fusion._model import classes_of, info_of, names_of
from fusion._native import ffi, lib
from fusion._plan import Plan, plan_of
from fusion._settings import Record, encode, new, result
from fusion._tasks import TaskRunner
from fusion._verdict import Verdict

#: None: a bar (tqdm) in notebooks and terminals; True: always; False: never; a function: called about ten times a second
#: with a record of samples_done, samples, bytes and seconds; the job ends with ClosedError when it returns False.
Progress = Union[None, bool, Callable[[Record], Any]]


def _new_bar():
    try:
        from tqdm.auto import tqdm  # it takes a tenth of a second
    except ImportError:
        return None
    return tqdm(unit=" samples", leave=False)


class _Watch:
    """What a running job tells: progress, and the exception that ended it. Ctrl-C arrives as an exception here, as the
    thread that runs the job calls back into Python."""

    running = threading.local()

    def __init__(self, progress: Progress, runner: TaskRunner | None):
        self.runner = runner
        self.call = progress if callable(progress) else None
        self.bar = None
        self.wrong: BaseException | None = None
        shown = sys.stderr.isatty() or "ipykernel" in sys.modules if progress is None else progress is True
        if shown:
            self.bar = _new_bar()

    def update(self, p) -> bool:
        if self.bar is not None:
            self.bar.total = p.samples
            self.bar.update(p.samples_done - self.bar.n)
        if self.call is None:
            return True
        now = Record({"samples_done": p.samples_done, "samples": p.samples, "bytes": p.bytes, "seconds": p.seconds})
        return self.call(now) is not False

    def give_up(self) -> None:
        if self.runner is not None:
            self.runner.given_up = True

    def __enter__(self) -> _Watch:
        self.outer = getattr(self.running, "watch", None)
        self.running.watch = self
        return self

    def __exit__(self, kind, value, traceback) -> None:
        self.running.watch = self.outer
        if self.runner is not None:
            self.runner.close()
        if self.bar is not None:
            self.bar.close()
        if self.wrong is not None:
            raise self.wrong from None


def _interrupted(kind, wrong, traceback) -> None:
    _Watch.running.watch.wrong = wrong
    _Watch.running.watch.give_up()


@ffi.def_extern(error=False, onerror=_interrupted)
def fusion_python_progress(context, p):
    watch = _Watch.running.watch
    go_on = watch.update(p)
    if not go_on:
        watch.give_up()
    return go_on


class Result:
    """What a job came to. `verdict` says whether the check accepts; when it does not, everything that needs answers raises
    RejectedError."""

    def __init__(self, handle, client):
        self._handle = handle
        self._client = client  # whose journal forget() wipes
        self.verdict = Verdict.of(lib.fusion_result_verdict(handle))

    @property
    def accepted(self) -> bool:
        """Whether the verdict accepts."""
        return self.verdict.accepted

    def check(self) -> Result:
        """The result itself; RejectedError, with the verdict, when the verdict rejects."""
        if self.accepted:
            return self
        wrong = RejectedError(f"the job was rejected: {self.verdict.reason}")
        wrong.verdict = self.verdict
        raise wrong

    def _array(self, form: int):
        out = ffi.new("fusion_array **")
        call(lib.fusion_result_answers, self.check()._handle, form, out)
        return ffi.gc(out[0], lib.fusion_array_free)

    @property
    def is_label(self) -> bool:
        """True when an answer is a label alone: so the model answers, or labels alone were compared."""
        return lib.fusion_result_is_label(self._handle)

    @property
    def answers(self) -> np.ndarray:
        """float64 [queries][answer size]: logits or top-k values, real; int64 [queries] where is_label."""
        return self.labels if self.is_label else to_numpy(self._array(lib.FUSION_ANSWERS_REAL))

    @property
    def raw(self) -> np.ndarray:
        """int64 [queries][answer size]: the integers, equal to those of Model.run()."""
        return to_numpy(self._array(lib.FUSION_ANSWERS_RAW))

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [queries][answer size]: logits through the Softmax or Sigmoid in which the network ends, of a LogSoftmax
        their logarithms. UsageError when there is none."""
        return to_numpy(self._array(lib.FUSION_ANSWERS_PROBABILITIES))

    @property
    def labels(self) -> np.ndarray:
        """int64 [queries]: the label that each answer decides for, as the network's file has it."""
        return to_numpy(self._array(lib.FUSION_ANSWERS_LABELS))

    @property
    def info(self) -> Record:
        """What the manifest says of the server's model: as Model.info. info.output tells what the answers are."""
        return info_of(lib.fusion_result_describe, self._handle)

    @property
    def classes(self) -> list:
        """What the network's file calls its classes: numbers, or names (str)."""
        return classes_of(lib.fusion_result_class, self._handle)

    @property
    def names(self) -> np.ndarray | None:
        """[queries] of str: the labels' names; None where the file has none."""
        return names_of(self.labels, self.classes)

    @property
    def receipts(self) -> bytes:
        """What the server signed, whatever the verdict, as the bytes of a file; empty unless receipts were asked for."""
        length = ffi.new("size_t *")
        data = lib.fusion_result_receipts(self._handle, length)
        return ffi.buffer(data, length[0])[:] if length[0] else b""

    def save(self, *, answers=None, report=None, receipts=None, canaries=None, form: str = "answers") -> None:
        """Writes files, all or none of them. answers: .npy, of `form` "answers", "raw", "probabilities" or "labels".
        report: the verdict, .html or .json. receipts: what the server signed. canaries: those of an accepted audit.
        FileError; RejectedError when there are no answers."""
        files = make(lib.fusion_files_create, "fusion_files", lib.fusion_files_free)
        if answers is not None:
            array = _arrays.wrap(np.ascontiguousarray(getattr(self, form)))
            call(lib.fusion_files_add_npy, files, encode(answers), array.handle)
        if report is not None:
            call(lib.fusion_files_add_verdict, files, encode(report), lib.fusion_result_verdict(self._handle))
        if receipts is not None:
            data = self.receipts
            call(lib.fusion_files_add, files, encode(receipts), data, len(data))
        if canaries is not None:
            call(lib.fusion_files_add_canaries, files, encode(canaries), self.check()._handle)
        call(lib.fusion_files_place, files)

    def forget(self) -> None:
        """Wipes the job's journal: to be called when what it came to is safe. Without a journal it does nothing.
        FileError, InputError."""
        if self._client is not None:
            call(lib.fusion_client_forget, self._client)

    def __len__(self) -> int:
        return self.verdict.queries

    def __repr__(self) -> str:
        return f"<Result {self.verdict.verdict}: {self.verdict.reason}>"

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_()


class Client:
    """A server, and how it is asked. The connection is made by each job.

    host: "HOST:PORT"; the certificate must be for HOST. Several, in a list, are servers of one model between which each
    job is divided. ca: PEM file, the only authority trusted to vouch for the server.
    cert, key: PEM files that are shown to the server. plaintext: no TLS, to a loopback address only.
    min_accuracy: part of the public answers that must be right (default 0.95). canaries: a file of an audit. journal: a
    file from which a job goes on that was killed. keep: a file that spares the next job with this server the slow part of
    its set-up. receipts: the server signs what ran. speeds: this machine's, of calibrate(); verdicts then say what time was
    predicted. Other settings are those of
    fusion_client_settings: security_bits, min_public, public_copies, workers, shard_samples, tries, timeout_ms,
    max_seconds, engine, manifest, model_id, clip, accept_fast, tolerance, receipt_key, min_canaries and so on; times end
    in _ms or _seconds. Every method takes them as well, for one job.

    UsageError; FileError and TlsError name the file."""

    def __init__(self, host: str | Sequence[str], *, ca=None, cert=None, key=None, plaintext: bool = False, **settings):
        self._servers = [host] if isinstance(host, str) else list(host)
        if not self._servers:
            raise UsageError("host: give at least one \"HOST:PORT\"")
        self._settings = {"server": self._servers[0], "tls_ca": ca, "tls_cert": cert, "tls_key": key, "plaintext": plaintext,
                          **settings}
        self._running: list = []
        self._lock = threading.Lock()
        self._open({})

    def _open(self, more: dict):
        taken = {**self._settings, **more}
        s, _keep = new("fusion_client_settings", lib.fusion_client_init, taken, "Client")
        return make(lib.fusion_client_open, "fusion_client", lib.fusion_client_close, s), taken

    def _open_job(self, more: dict, executor: Executor | None):
        """A handle for one job, its settings, and what must outlive it."""
        taken = {**self._settings, **more}
        runner = None
        if executor is not None or len(self._servers) > 1:
            runner = TaskRunner(executor, self._servers, {k: v for k, v in taken.items() if k != "speeds"})
            taken = {"workers": runner.workers, **taken, "speeds": None}  # of shards that run elsewhere nothing is predicted
        s, _keep = new("fusion_client_settings", lib.fusion_client_init, taken, "Client")
        s.progress = lib.fusion_python_progress
        context = ffi.new_handle(runner)
        if runner is not None:
            s.run_task, s.run_task_context = lib.fusion_python_task, context
        client = make(lib.fusion_client_open, "fusion_client", lib.fusion_client_close, s)
        return client, taken, (runner, context)

    def plan(self, queries: int, **settings) -> Plan:
        """What a job of `queries` samples will be. UsageError, UnreachableError."""
        client, _ = self._open(settings)
        choice = result("fusion_plan_choice")
        call(lib.fusion_client_plan, client, queries, choice)
        return plan_of(choice)

    def predict(self, X: Samples, public=None, *, progress: Progress = None, preprocess: Preprocess = None,
                add_canaries: bool = False, executor: Executor | None = None, **settings) -> Result:
        """Runs X through the server's model, privately, and checks the answers.

        X: raw samples [queries][...], as the model's preprocessing expects them; see Samples. public: (P, L), samples like
        X and their true labels, one each, numbers or names as the model's file has them; as many as the plan needs are
        drawn at random, and the labels stay here. It may be left out with canaries. preprocess: how pictures become
        samples. add_canaries: accepted queries join the client's file of canaries. executor: any
        concurrent.futures.Executor; its processes, which need this package and reach the server, run the job's shards,
        `workers` at once. They see samples in the job's secret order, no labels and no verdict. A task that is lost runs
        again, `tries` times at most; running tasks are not ended by Ctrl-C. Not with receipts.

        Ctrl-C ends the job, as does cancel() from another thread. The result's verdict accepts or rejects. Warns with
        FusionWarning of what the data should be looked at for. Every failure of fusion_client_query as its exception:
        InputError, RefusedError, BusyError, ClosedError, SilenceError, PeerError, OtherModelError, TlsError and so on."""
        if public is None:
            settings = {"min_public": 0, **settings}
        elif not isinstance(public, (tuple, list)) or len(public) != 2:
            raise UsageError("public: give a pair, the public samples and their labels")
        arrays = [_arrays.samples(X, preprocess)]
        if public is not None:
            arrays += [_arrays.samples(public[0], preprocess, "public"), _arrays.labels(public[1], "public labels")]
        client, taken, tasks = self._open_job(settings, executor)
        handles = [a.handle for a in arrays] + [ffi.NULL] * (3 - len(arrays))
        found = self._run(lib.fusion_client_query, client, handles, taken, progress, tasks)
        if add_canaries and found.accepted:
            call(lib.fusion_client_add_canaries, client, found._handle)
        return found

    def audit(self, P: Samples, L, canaries=None, *, progress: Progress = None, preprocess: Preprocess = None,
              executor: Executor | None = None, **settings) -> Result:
        """Measures the server's model on all public samples P with their labels L, each sent as often as the plan of an
        audit says, copies compared. An accepted audit writes the file `canaries` (mode 0600), of which later jobs hide
        some: Client(..., canaries=FILE). The verdict's `audit` has the accuracy by class. Failures as of predict()."""
        arrays = [_arrays.samples(P, preprocess, "P"), _arrays.labels(L, "L")]
        client, taken, tasks = self._open_job({"canaries": None, **settings}, executor)
        found = self._run(lib.fusion_client_audit, client, [a.handle for a in arrays], taken, progress, tasks)
        if canaries is not None and found.accepted:
            found.save(canaries=canaries)
        return found

    def _run(self, function, client, handles: list, taken: dict, progress: Progress, tasks: tuple) -> Result:
        out, err = ffi.new("fusion_result **"), ffi.new("fusion_error *")
        watch = _Watch(progress, tasks[0])
        with self._lock:
            self._running.append((client, watch))
        try:
            with watch:
                status = function(client, *handles, out, err)
        finally:
            with self._lock:
                self._running.remove((client, watch))
        check(status, err)
        found = Result(ffi.gc(out[0], lib.fusion_result_free), client if taken.get("journal") else None)
        if found.verdict.note:
            warnings.warn(found.verdict.note, FusionWarning, stacklevel=3)
        return found

    def cancel(self) -> None:
        """Ends the jobs that run now with ClosedError. From any thread."""
        with self._lock:
            for client, watch in self._running:
                lib.fusion_client_cancel(client)
                watch.give_up()

    def __repr__(self) -> str:
        return f"<Client of {', '.join(self._servers)}>"
