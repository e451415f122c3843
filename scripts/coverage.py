#!/usr/bin/env python3
"""Prints the lines and branches that the tests reach, a folder of src and tools a row. Run by `make coverage`.
Kernels of a tier that this processor lacks are left out, and it says so.

usage: coverage.py BUILD     a build by clang with -fprofile-instr-generate -fcoverage-mapping, its profiles in BUILD/profiles"""
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def missing_tiers(build):
    """Tiers whose kernels cannot run here."""
    environment = {**os.environ, "LLVM_PROFILE_FILE": os.devnull}
    return [tier for tier in ("avx2", "vaes", "avx512", "neon")
            if subprocess.run([build / "fusion", f"--cpu-tier={tier}", "version"], capture_output=True, env=environment).returncode]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build, source = Path(sys.argv[1]).resolve(), Path(__file__).resolve().parents[1]
    profiles, merged = sorted(map(str, (build / "profiles").glob("*.profraw"))), build / "tests.profdata"
    if not profiles:
        sys.exit(f"coverage.py: no profiles in {build}/profiles: run the tests first")
    (build / "profiles.txt").write_text("\n".join(profiles))
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-f", build / "profiles.txt", "-o", merged], check=True)
    library = next(build.glob("libfusion.so.*.*.*"))
    report = subprocess.run(["llvm-cov", "export", "-summary-only", f"-instr-profile={merged}", library, "-object",
                             build / "fusion"], check=True, capture_output=True, text=True).stdout
    missing = missing_tiers(build)
    counts = defaultdict(lambda: [0, 0, 0, 0])
    for file in json.loads(report)["data"][0]["files"]:
        path = Path(file["filename"]).resolve()
        if not path.is_relative_to(source) or path.is_relative_to(build) or path.stem.endswith(tuple(f"_{t}" for t in missing)):
            continue
        folder = "/".join(path.relative_to(source).parts[:2])
        numbers = [file["summary"][kind][part] for kind in ("lines", "branches") for part in ("covered", "count")]
        for row in (folder, "in all"):
            counts[row] = [a + b for a, b in zip(counts[row], numbers)]
    total = counts.pop("in all")
    print("| folder | lines | branches |\n|---|--:|--:|")
    for name, (lines, of_lines, branches, of_branches) in [*sorted(counts.items()), ("in all", total)]:
        share = lambda part, whole: f"{100 * part / whole:.1f} %" if whole else "-"
        print(f"| {name} | {share(lines, of_lines)} | {share(branches, of_branches)} |")
    for tier in missing:
        print(f"\nLeft out: kernels for {tier}, which this processor lacks.")


main()
