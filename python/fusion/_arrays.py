"""Inputs as the library takes them, and its arrays as numpy's.

A numpy array in C order with a type that the library knows is read where it is, without a copy."""
from __future__ import annotations

import json
import os
from typing import Any, Sequence, Union

import numpy as np

from fusion._errors import InputError, call, check, make
from fusion._native import ffi, lib
from fusion._settings import encode, new

TYPES = {name: getattr(lib, "FUSION_" + short) for name, short in
         {"bool": "BOOL", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "int8": "I8", "int16": "I16",
          "int32": "I32", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64"}.items()}
NAMES = {number: name for name, number in TYPES.items()}

#: A numpy array, a pandas frame, nested lists, a path (.npy, .npz, .csv, a picture or a folder of pictures), or a list of
#: pictures: paths, PIL images, or uint8 arrays [height][width][3].
Samples = Union[np.ndarray, Sequence, str, "os.PathLike[str]", Any]
#: How pictures become samples: "imagenet", "unit", "grey", a JSON file, or a dict; see fusion-images(7).
Preprocess = Union[str, "os.PathLike[str]", dict, None]


class Array:
    """A fusion_array, and what it borrows."""

    def __init__(self, handle, borrowed: np.ndarray | None = None):
        self.handle = handle
        self.borrowed = borrowed

    @property
    def rows(self) -> int:
        return lib.fusion_array_rows(self.handle)


def is_path(value) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_image(value) -> bool:
    return hasattr(value, "convert") and hasattr(value, "getbands")


def _numbers(value, what: str) -> np.ndarray:
    """The value as an array of a type that the library knows, copied only if it must be."""
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise TypeError(f"{what}: a sparse matrix was passed, but dense data is required; use its toarray()")
    for column, kind in zip(getattr(value, "columns", ()), getattr(value, "dtypes", ())):
        if getattr(kind, "kind", "O") not in "biuf":
            raise InputError(f"{what}: column '{column}' holds {kind}, not numbers")
    a = np.asarray(value)
    if a.dtype.kind == "c":
        raise InputError(f"{what}: Complex data not supported; give real numbers")
    if a.dtype.kind == "O" or a.dtype.name == "float128" or a.dtype.name not in TYPES:
        try:
            if a.dtype.kind in "SUmM":
                raise ValueError(f"could not convert {a.dtype} to numbers")
            a = a.astype(np.float64)
        except ValueError as wrong:
            raise InputError(f"{what}: {wrong}; give an array of numbers") from None
    # Scalars become one-element vectors, which the library would take for a row.
    if a.ndim == 0:
        raise InputError(f"{what}: Expected an array with one sample a row, got a scalar")
    return np.ascontiguousarray(a, a.dtype.newbyteorder("="))


def wrap(a: np.ndarray) -> Array:
    """A fusion_array over numpy's memory."""
    out = ffi.new("fusion_array **")
    shape = ffi.new("size_t[]", list(a.shape))
    check(lib.fusion_array_borrow(out, TYPES[a.dtype.name], a.ndim, shape, ffi.cast("void *", a.ctypes.data)))
    return Array(ffi.gc(out[0], lib.fusion_array_free), a)


def to_numpy(handle) -> np.ndarray:
    """A copy."""
    kind = np.dtype(NAMES[lib.fusion_array_type(handle)])
    shape = [lib.fusion_array_axis(handle, i) for i in range(lib.fusion_array_rank(handle))]
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.zeros(shape, kind)
    data = ffi.buffer(lib.fusion_array_data(handle), count * kind.itemsize)
    return np.frombuffer(data, kind).reshape(shape).copy()


def _picture_settings(preprocess: Preprocess):
    settings, _ = new("fusion_image_settings", lib.fusion_image_init, {}, "pictures")
    if preprocess is not None:
        text = json.dumps(preprocess) if isinstance(preprocess, dict) else preprocess
        call(lib.fusion_image_settings_read, settings, encode(text))
    return settings


def _pixels(picture) -> np.ndarray:
    """uint8 [height][width][1 or 3]"""
    if _is_image(picture):
        picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    a = np.asarray(picture)
    if a.dtype != np.uint8 or a.ndim not in (2, 3):
        raise InputError(f"a picture is uint8 [height][width][3] or [height][width]; got {a.dtype} {list(a.shape)}")
    return np.ascontiguousarray(a if a.ndim == 3 else a[..., None])


def _pictures(items, preprocess: Preprocess) -> Array:
    pictures = ffi.new("fusion_picture[]", len(items))
    keep = []
    for out, item in zip(pictures, items):
        if is_path(item):
            keep.append(ffi.new("char[]", encode(item)))
            out.path = keep[-1]
            continue
        a = _pixels(item)
        keep.append(a)
        out.pixels = ffi.cast("uint8_t *", a.ctypes.data)
        out.height, out.width, out.channels = a.shape
    return Array(make(lib.fusion_images_create, "fusion_array", lib.fusion_array_free, pictures, len(items),
                      _picture_settings(preprocess)))


def _file(path, preprocess: Preprocess) -> Array:
    name = encode(path)
    if lib.fusion_images_path(name):
        return Array(make(lib.fusion_images_load, "fusion_array", lib.fusion_array_free, name,
                          _picture_settings(preprocess)))
    tables, _ = new("fusion_table_settings", lib.fusion_table_init, {}, "tables")
    return Array(make(lib.fusion_array_load_table, "fusion_array", lib.fusion_array_free, name, tables))


def samples(value: Samples, preprocess: Preprocess = None, what: str = "X") -> Array:
    """Samples, one a row. Arrays are read in place where they can be; see Samples for what may be given."""
    if isinstance(value, Array):
        return value
    if is_path(value):
        return _file(value, preprocess)
    if isinstance(value, (list, tuple)) and len(value):
        if is_path(value[0]) or _is_image(value[0]) or (preprocess is not None and np.ndim(value[0]) >= 2):
            return _pictures(value, preprocess)
    if preprocess is not None:
        a = np.asarray(value)
        if a.dtype != np.uint8 or a.ndim != 4:
            raise InputError(f"{what}: preprocess is for pictures; arrays come as the model's preprocessing expects them")
        return _pictures(list(a), preprocess)
    return wrap(_numbers(value, what))


def labels(value, what: str = "labels") -> Array:
    """One label a row, numbers or names; or a file of them."""
    if isinstance(value, Array):
        return value
    if is_path(value):
        tables, _ = new("fusion_table_settings", lib.fusion_table_init, {}, "tables")
        return Array(make(lib.fusion_labels_load, "fusion_array", lib.fusion_array_free, encode(value), tables))
    a = np.asarray(value)
    if a.dtype.kind == "U" or (a.dtype.kind == "O" and all(isinstance(v, str) for v in a.ravel())):
        names = [ffi.new("char[]", str(v).encode()) for v in a.ravel()]
        return Array(make(lib.fusion_labels_create, "fusion_array", lib.fusion_array_free, ffi.new("char *[]", names),
                          len(names)))
    return wrap(_numbers(value, what))
