#!/usr/bin/env python3
"""Fails when a test of the last `meson test` was skipped, as a whole or in part, that continuous integration can run.

usage: check_skipped.py BUILD [NAME...]     NAME: tests that may be skipped (those of a data folder)"""
import json
import re
import sys
from pathlib import Path


def skipped(log, allowed):
    for line in log.read_text().splitlines():
        test = json.loads(line)
        name = test["name"].split(" / ")[-1]
        if name in allowed:
            continue
        if test["result"] == "SKIP":
            yield f"{name}: skipped"
        for part in re.findall(r"^\[  SKIPPED \] (.*__.*)$", test.get("stdout", "") + test.get("stderr", ""), re.M):
            yield f"{name}: skipped {part}"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = sorted(set(skipped(Path(sys.argv[1]) / "meson-logs/testlog.json", sys.argv[2:])))
    print("\n".join(found) or "no test was skipped that could run")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
