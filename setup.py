"""The Python package: `pip install --no-build-isolation .` (docs/python.md). The library itself is built by meson."""
import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "python"))
import ffi_build  # noqa: E402

setup(version=ffi_build.version(), cffi_modules=["python/ffi_build.py:ffibuilder"])
