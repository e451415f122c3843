"""The built command and library carry the hardening of meson.build; each missing property is named.

usage: hardened.py FLAGS FILE... The first is what was asked of the compiler, separated by blanks.
"""
import re
import subprocess
import sys
from pathlib import Path


def readelf(path, *flags):
    return subprocess.run(["readelf", "-W", *flags, path], check=True, capture_output=True, text=True).stdout


def all_begin(path, segments, marks):
    """Whether the public functions, or main, begin with one of the marks. (The file's own property note also depends on
    the C library's start files, which in Debian 12 have none.)"""
    loads = [[int(x, 16) for x in m] for m in re.findall(r"LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)", segments)]
    starts = [int(a, 16) for a in re.findall(r": (\w+) +\d+ FUNC +GLOBAL DEFAULT +\d+ (?:fusion_\w+|main)$",
                                             readelf(path, "-s"), re.M)]
    content = Path(path).read_bytes()
    at = lambda a: next(content[offset + a - first:][:4].hex() for offset, first, size in loads if first <= a < first + size)
    return bool(starts) and all(at(a) in marks for a in starts)


def missing(path, asked):
    header, segments = readelf(path, "-h"), readelf(path, "-l")
    dynamic = readelf(path, "-d")
    symbols = {s.split("@")[0] for s in readelf(path, "--dyn-syms").split()}
    stack = re.search(r"GNU_STACK.* (R\S*)", segments)
    checks = {
        "position-independent code (type DYN)": re.search(r"Type:\s+DYN", header),
        "relocations that become read-only (GNU_RELRO)": "GNU_RELRO" in segments,
        "binding at start (BIND_NOW)": re.search(r"BIND_NOW|Flags:.*\bNOW\b", dynamic),
        "a stack that is not executable (GNU_STACK RW)": stack and stack[1] == "RW",
        "no segment both writable and executable": not re.search(r"LOAD .* RWE ", segments),
        "the stack protector (__stack_chk_fail)": "__stack_chk_fail" in symbols,
    }
    if any(a.startswith("-D_FORTIFY_SOURCE") for a in asked):
        checks["fortified functions (a __*_chk)"] = any(re.fullmatch(r"__\w+_chk", s) for s in symbols)
    if "-fcf-protection" in asked:
        checks["landing marks of indirect branches (endbr64)"] = all_begin(path, segments, {"f30f1efa"})
    if "-mbranch-protection=standard" in asked:
        checks["landing marks of indirect branches (bti, paciasp)"] = all_begin(path, segments, {"5f2403d5", "3f2303d5"})
    return [name for name, there in checks.items() if not there]


def main():
    asked = sys.argv[1].split()
    lacking = [f"{path}: lacks {name}" for path in sys.argv[2:] for name in missing(path, asked)]
    print("\n".join(lacking) or "hardened: " + " ".join(asked))
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
