"""Failures as exceptions: one class for each fusion_status, with the library's own line of text."""
from __future__ import annotations

from fusion._native import ffi, lib

__all__ = ["FusionError", "UsageError", "UnreachableError", "InputError", "ResourceError", "OutOfMemoryError",
           "EntropyError", "LimitError", "FileError", "ClosedError", "SilenceError", "NetworkError", "PeerError",
           "RefusedError", "BusyError", "VersionError", "RejectedError", "ModelError", "UnsupportedError",
           "RoundingError", "OtherModelError", "ModelChangedError", "CryptoError", "TlsError", "InternalError",
           "FusionWarning"]


class FusionError(Exception):
    """A failure of the library. `status` is its fusion_status, a negative number."""

    status = 0

    @property
    def kind(self) -> str:
        """The status's class as one word: "usage", "resource", "io", "peer", "model", "crypto" or "internal"."""
        return ffi.string(lib.fusion_status_class(self.status)).decode()


class UsageError(FusionError, ValueError):
    """An argument makes no sense."""

    status = lib.FUSION_E_USAGE


class UnreachableError(UsageError):
    """No parameters satisfy the request."""

    status = lib.FUSION_E_UNREACHABLE


class InputError(UsageError):
    """Data or a data file hold something else than expected."""

    status = lib.FUSION_E_INPUT


class ResourceError(FusionError):
    """The machine cannot give something: threads, for example."""

    status = lib.FUSION_E_RESOURCE


class OutOfMemoryError(ResourceError, MemoryError):
    """Memory is short."""

    status = lib.FUSION_E_MEMORY


class EntropyError(ResourceError):
    """The system gives no randomness."""

    status = lib.FUSION_E_ENTROPY


class LimitError(ResourceError):
    """A configured limit would be passed."""

    status = lib.FUSION_E_LIMIT


class FileError(FusionError, OSError):
    """The system refused a file or a socket."""

    status = lib.FUSION_E_IO


class ClosedError(FileError):
    """The peer closed the connection, or the job was cancelled."""

    status = lib.FUSION_E_CLOSED


class SilenceError(FileError, TimeoutError):
    """The peer stayed silent too long, or the job took longer than its limit."""

    status = lib.FUSION_E_TIMEOUT


class NetworkError(FileError, ConnectionError):
    """The peer cannot be reached, or the network damaged what it sent: try again later."""

    status = lib.FUSION_E_NETWORK


class PeerError(FusionError):
    """The peer broke the protocol."""

    status = lib.FUSION_E_PEER


class RefusedError(PeerError):
    """The peer declined, and says why."""

    status = lib.FUSION_E_REFUSED


class BusyError(PeerError):
    """The peer declined, and may be asked again later."""

    status = lib.FUSION_E_BUSY


class VersionError(PeerError):
    """The peer speaks no version of the protocol that this library speaks."""

    status = lib.FUSION_E_VERSION


class RejectedError(PeerError):
    """The verdict rejects: there are no answers. `verdict` is the verdict, or None where a journal says so."""

    status = lib.FUSION_E_REJECTED
    verdict = None


class ModelError(FusionError):
    """A model or network cannot be taken."""

    status = lib.FUSION_E_MODEL


class UnsupportedError(ModelError):
    """The network needs an operator, or the call a feature, that is not there."""

    status = lib.FUSION_E_UNSUPPORTED


class RoundingError(ModelError):
    """The server's model uses fast rounding, which the client did not accept."""

    status = lib.FUSION_E_ROUNDING


class OtherModelError(ModelError):
    """The server's model is not the one that was asked for."""

    status = lib.FUSION_E_OTHER_MODEL


class ModelChangedError(ModelError):
    """The server announces another model than before: audit it again."""

    status = lib.FUSION_E_MODEL_CHANGED


class CryptoError(FusionError):
    """A cryptographic check failed."""

    status = lib.FUSION_E_CRYPTO


class TlsError(CryptoError):
    """TLS failed: a certificate or a key."""

    status = lib.FUSION_E_TLS


class InternalError(FusionError):
    """A defect of the library."""

    status = lib.FUSION_E_INTERNAL


class FusionWarning(UserWarning):
    """What the library noticed about the caller's data."""


def _subclasses(of: type) -> dict:
    found = {}
    for c in of.__subclasses__():
        found[c.status] = c
        found.update(_subclasses(c))
    return found


BY_STATUS = _subclasses(FusionError)


def check(status: int, err=None) -> None:
    """Raises the exception of a status other than FUSION_OK; `err` is the fusion_error that came with it."""
    if status == lib.FUSION_OK:
        return
    text = ffi.string(err.text).decode(errors="replace") if err is not None else ""
    raise BY_STATUS.get(status, InternalError)(text or ffi.string(lib.fusion_status_text(status)).decode())


def call(function, *arguments):
    """function(*arguments, &err), checked."""
    err = ffi.new("fusion_error *")
    check(function(*arguments, err), err)


def make(function, kind: str, free, *arguments):
    """What function(&out, *arguments, &err) makes: a handle that frees itself. `kind` is the handle's type in C."""
    out = ffi.new(kind + "**")
    call(function, out, *arguments)
    return ffi.gc(out[0], free)
