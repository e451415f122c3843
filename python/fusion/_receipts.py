"""Receipts: what a server has signed of a job."""
from __future__ import annotations

from fusion._errors import call
from fusion._native import ffi, lib
from fusion._settings import Record, encode, result, values


class Receipt(Record):
    """What the receipts of a job say together.

    connections, shards, samples: that were signed for. declared: samples that the client declared. earliest, latest:
    seconds since 1970, UTC, by the server's clock. job, model_id, manifest_hash, certificate_hash, public_key: hexadecimal
    digits."""

    connections: int
    shards: int
    samples: int
    declared: int
    earliest: int
    latest: int
    job: str
    model_id: str
    public_key: str


def keygen(path) -> str:
    """Makes a key that signs receipts, in a new file with mode 0600; returns the public key, 64 hexadecimal digits.
    FileError when the file is there or cannot be made."""
    public = ffi.new("char[]", lib.FUSION_HEX_LEN)
    call(lib.fusion_receipt_keygen, encode(path), public)
    return ffi.string(public).decode()


def verify_receipt(path, public_key: str | None = None) -> Receipt:
    """Reads and verifies a file of receipts. public_key: the key that must have signed them; None: the one in the file,
    which proves nothing to somebody who does not know that key. UsageError, FileError, InputError; CryptoError when
    the file was altered or another key signed."""
    info = result("fusion_receipt_info")
    call(lib.fusion_receipt_verify, encode(path), ffi.NULL if public_key is None else encode(public_key), info)
    return Receipt(values(info))
