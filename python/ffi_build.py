"""Builds fusion._native, the extension that calls libfusion (cffi, API mode). setup.py runs this.

The declarations are the public headers themselves, without what the preprocessor needs: a function, a setting or a field
that a header gets is there in Python, too.

Headers and library come from FUSION_BUILD, a build folder of the sources, if it is set; else from pkg-config; else from
the folder build/ beside this one. The extension remembers the library's folder; FUSION_RPATH=no makes one that does not,
for packages whose library the system's loader finds."""
import os
import re
import subprocess
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[1]
# Called from C, by a job's threads and by any thread of a server.
CALLBACKS = """
extern "Python" bool fusion_python_progress(void *, const fusion_progress *);
extern "Python" void fusion_python_log(void *, const char *);
extern "Python" fusion_status fusion_python_task(void *, const void *, size_t, void *, size_t, fusion_error *);
"""


def version():
    """The version of the sources, which is the package's."""
    return re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]


def with_includes(include, name, seen):
    """The text of a header behind that of those it includes, each once: every type stands before its use."""
    if name in seen:
        return ""
    seen.add(name)
    text = (include / name).read_text()
    return "".join(with_includes(include, n, seen) for n in re.findall(r"^#include <(fusion/\w+\.h)>", text, re.M)) + text


def declarations(include):
    """What cffi reads of the headers: no comments, directives, attributes or inline functions."""
    text = with_includes(include, "fusion/fusion.h", set())
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.S)
    numbers = dict(re.findall(r"^#define (FUSION_\w+) (\d+)\s*$", text, re.M))
    text = re.sub(r"^#[^\n]*(\\\n[^\n]*)*", "", text, flags=re.M)
    text = re.sub(r"FUSION_API|FUSION_MUST_CHECK", "", text)
    text = re.sub(r"static inline[^{]*\{.*?\n\}", "", text, flags=re.S)
    for name, number in numbers.items():
        text = re.sub(rf"\[{name}\]", f"[{number}]", text)
    constants = "".join(f"#define {name} {number}\n" for name, number in numbers.items())
    return constants + text + CALLBACKS


def pkg_config(*options):
    found = subprocess.run(["pkg-config", *options, "fusion"], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def find_library():
    """(folder of headers, folder of the library)"""
    build = os.environ.get("FUSION_BUILD")
    installed = None if build else pkg_config("--modversion")
    if installed:
        if installed != version():
            sys.exit(f"setup.py: libfusion {installed} is installed, these sources are {version()}; run 'make install' first")
        return Path(pkg_config("--variable=includedir")), Path(pkg_config("--variable=libdir"))
    folder = Path(build).resolve() if build else ROOT / "build"
    if not (folder / "libfusion.so").exists():
        sys.exit(f"setup.py: no libfusion: neither pkg-config nor {folder} has it; run 'make' or 'make install' first")
    return ROOT / "include", folder


def ffibuilder():
    include, library = find_library()
    ffi = FFI()
    ffi.cdef(declarations(include))
    # The loader finds libraries of the system's folders by itself.
    system = Path("/usr/lib") in (library, library.parent) or os.environ.get("FUSION_RPATH") == "no"
    ffi.set_source("fusion._native", "#include <fusion/fusion.h>", include_dirs=[str(include)], libraries=["fusion"],
                   library_dirs=[str(library)], runtime_library_dirs=[] if system else [str(library)])
    return ffi

