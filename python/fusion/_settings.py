"""Structs of settings and results: keywords in, dataclasses out, by the fields that the headers declare."""
from __future__ import annotations

import os
from typing import Any

from fusion._native import ffi


def encode(text) -> bytes:
    """A text or path as C takes it."""
    return text if isinstance(text, bytes) else os.fsencode(text)


def decode(text) -> str | None:
    """A C text, which may be NULL."""
    return ffi.string(text).decode(errors="replace") if text else None


def fill(struct, values: dict, of: str) -> list:
    """Sets fields by name; None leaves a default. Returns what must outlive the struct. TypeError names the keyword."""
    fields = dict(ffi.typeof(struct).item.fields)
    keep = []
    for name, value in values.items():
        field = fields.get(name)
        if field is None or name == "size" or field.type.kind not in ("primitive", "enum", "pointer"):
            raise TypeError(f"{of} has no setting '{name}'")
        if value is None:
            continue
        try:
            if field.type.kind == "pointer" and not isinstance(value, ffi.CData):
                keep.append(ffi.new("char[]", encode(value)))
                value = keep[-1]
            elif isinstance(value, bool) or field.type.cname == "_Bool":
                value = int(bool(value))
            setattr(struct, name, value)
        except (TypeError, OverflowError) as wrong:
            raise type(wrong)(f"{name}: {wrong}") from None
    return keep


def new(kind: str, init, values: dict, of: str) -> tuple[Any, list]:
    """A struct with its defaults, then the given values; and what must outlive it."""
    struct = ffi.new(kind + "*")
    init(struct, ffi.sizeof(kind))
    return struct, fill(struct, values, of)


def result(kind: str, **fields):
    """A struct that the library fills."""
    struct = ffi.new(kind + "*")
    struct.size = ffi.sizeof(kind)
    for name, value in fields.items():
        setattr(struct, name, value)
    return struct


def values(struct) -> dict:
    """The fields of a struct but its size, numbers and texts as Python's own."""
    found = {}
    for name, field in ffi.typeof(struct).item.fields:
        kind, cname = field.type.kind, field.type.cname
        if name == "size":
            continue
        if kind in ("primitive", "enum"):
            value = getattr(struct, name)
            found[name] = int(value) if kind == "enum" else value
        elif cname == "char *" or (kind == "array" and field.type.item.cname == "char"):
            found[name] = decode(getattr(struct, name))
    return found


class Record:
    """Values with names, as attributes. Equal when the values are."""

    def __init__(self, fields: dict):
        self.__dict__.update(fields)

    def as_dict(self) -> dict:
        """The values by name."""
        return dict(self.__dict__)

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"
