"""Serving a model from Python: for tests, notebooks and small services."""
from __future__ import annotations

import atexit
import threading
import weakref
from typing import Callable

from fusion._errors import UsageError, check, make
from fusion._model import Model
from fusion._native import ffi, lib
from fusion._settings import Record, new, result, values

_alive: weakref.WeakSet = weakref.WeakSet()


@ffi.def_extern()
def fusion_python_log(context, line):
    server = ffi.from_handle(context)()
    if server is not None:
        server._log(ffi.string(line).decode(errors="replace"))


class Server:
    """A server of one model, in threads of its own while it is a context:

        with fusion.Server(model, cert="server.pem", key="server.key") as server:
            ... fusion.Client(server.address, ca="ca.pem") ...

    listen: "HOST:PORT"; port 0 takes any free one. cert, key: PEM files. plaintext: no TLS, on a loopback address only.
    client_ca: PEM file; clients must show a certificate signed by it. speeds: this machine's, of calibrate(), told to
    clients for their predictions. log: called with a line for each job that ends and
    each connection that is refused, from any thread. Other settings are those of fusion_server_settings: engine,
    max_clients, max_samples_job, max_memory, timeout_ms, stop_grace_ms, receipt_key and so on.

    UsageError, TlsError, FileError (the address), LimitError."""

    def __init__(self, model: Model, *, listen: str = "127.0.0.1:0", cert=None, key=None, plaintext: bool = False,
                 client_ca=None, log: Callable[[str], None] | None = None, **settings):
        taken = {"listen": listen, "tls_cert": cert, "tls_key": key, "plaintext": plaintext, "client_ca": client_ca,
                 **settings}
        s, _keep = new("fusion_server_settings", lib.fusion_server_init, taken, "Server")
        self._log = log
        if log is not None:
            self._context = ffi.new_handle(weakref.ref(self))
            s.log, s.log_context = lib.fusion_python_log, self._context
        self._model = model  # borrowed by the handle
        self._handle = make(lib.fusion_server_open, "fusion_server", lib.fusion_server_close, model._handle, s)
        self._host = listen.rpartition(":")[0]
        self._thread: threading.Thread | None = None
        self._error = ffi.new("fusion_error *")
        self._status = lib.FUSION_OK

    @property
    def port(self) -> int:
        """The port in use."""
        return lib.fusion_server_port(self._handle)

    @property
    def address(self) -> str:
        """"HOST:PORT", for clients."""
        return f"{self._host}:{self.port}"

    @property
    def totals(self) -> Record:
        """Counts since the start: jobs_done, jobs_failed, refused, samples; and connections, now."""
        out = result("fusion_server_totals")
        lib.fusion_server_read_totals(self._handle, out)
        return Record(values(out))

    def _run(self) -> None:
        self._status = lib.fusion_server_run(self._handle, self._error)

    def start(self) -> Server:
        """Serves from now on, until stop()."""
        if self._thread is not None:
            raise UsageError("this server was started before; make another one")
        self._thread = threading.Thread(target=self._run, name="fusion-server", daemon=True)
        _alive.add(self)
        self._thread.start()
        return self

    def stop(self) -> None:
        """No new connections; returns when the running jobs have ended, or were cut after stop_grace_ms. Raises what ended
        the server before, if anything did."""
        if self._thread is None:
            return
        lib.fusion_server_stop(self._handle)
        self._thread.join()
        _alive.discard(self)
        check(self._status, self._error)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, kind, value, traceback) -> None:
        if kind is not None:  # nobody waits for jobs any more: the second call cuts them
            lib.fusion_server_stop(self._handle)
        self.stop()

    def __repr__(self) -> str:
        return f"<Server of {self.address}>"


@atexit.register
def _stop_all() -> None:
    for server in list(_alive):
        lib.fusion_server_stop(server._handle)
        server.stop()
