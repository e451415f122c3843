#!/usr/bin/env python3
"""Compares what libfusion exports with debian/libfusion0.symbols, which says since which version a program may rely on a
function. --update adds the new ones, since the version of meson.build, and drops none.

usage: check_symbols.py LIBRARY SOURCE [--update]"""
import re
import subprocess
import sys
from pathlib import Path


def exported(library):
    """Sanitizers and profilers export symbols of their own."""
    listed = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    return {words[2] for words in map(str.split, listed.splitlines()) if len(words) == 3 and words[2].startswith("fusion_")}


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["--update"]):
        sys.exit(__doc__)
    source = Path(sys.argv[2])
    path = source / "debian/libfusion0.symbols"
    head, since = [], {}
    for line in path.read_text().splitlines():
        row = re.fullmatch(r" (\w+)@Base (\S+)", line)
        if row:
            since[row[1]] = row[2]
        else:
            head.append(line)
    found = exported(sys.argv[1])
    gone, new = sorted(since.keys() - found), sorted(found - since.keys())
    if new and sys.argv[3:]:
        version = re.search(r"version: '([^']+)'", (source / "meson.build").read_text())[1]
        since.update((name, version) for name in new)
        path.write_text("\n".join(head + [f" {name}@Base {since[name]}" for name in sorted(since)]) + "\n")
        new = []
    for name in gone:
        print(f"{path.name}: {name} is no longer exported; programs that use it break, so that libfusion needs a new soname")
    for name in new:
        print(f"{path.name}: lacks {name}; run scripts/check_symbols.py {sys.argv[1]} {sys.argv[2]} --update")
    return 1 if gone or new else 0


if __name__ == "__main__":
    sys.exit(main())
