#!/usr/bin/env python3
"""Instructions that an ARM processor executes in each kernel, portable and neon, counted under the user-mode emulator.
Writes the table of docs/kernels.md between its marks. Counts of instructions, not times.

Needs a cross build with benchmarks: meson setup build-arm64 --cross-file scripts/arm64.ini, ninja -C build-arm64 bench/bench_count.

usage: arm64_instructions.py [--build build-arm64] [--only TEXT] [--print]"""
import argparse
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/kernels.md"
SAME = 0.005  # counts nearer than this: kernels that both tiers share, which the table leaves out


def count(build, only):
    """(kernel, unit) -> {tier: instructions a unit}"""
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "count.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra",
                        ROOT / "bench/count_plugin.c", "-o", plugin], check=True)
        lines = subprocess.run(["qemu-aarch64", "-plugin", plugin, build / "bench/bench_count", *([only] if only else [])],
                               check=True, capture_output=True, text=True).stdout.splitlines()
    counts = {}
    for line in lines:
        _, kernel, unit, tier, units, instructions = line.split("\t")
        counts.setdefault((kernel, unit), {})[tier] = int(instructions) / float(units)
    return counts


def figure(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"


def table(counts):
    yield "| kernel | unit | c | neon | c / neon |"
    yield "| --- | --- | --: | --: | --: |"
    for (kernel, unit), tiers in counts.items():
        if abs(tiers["c"] / tiers["neon"] - 1) < SAME:
            continue
        c, neon = tiers["c"], tiers["neon"]
        yield f"| {kernel} | {unit} | {figure(c)} | {figure(neon)} | {c / neon:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build-arm64")
    parser.add_argument("--only", help="kernels whose name has this text; prints")
    parser.add_argument("--print", action="store_true", help="print the table, leave the page")
    args = parser.parse_args()
    text = "\n".join(table(count(args.build.resolve(), args.only)))
    if args.print or args.only:
        print(text)
        return
    page, found = re.subn(r"(<!-- begin arm64 -->\n).*?(<!-- end arm64 -->)", lambda m: f"{m[1]}\n{text}\n\n{m[2]}",
                          PAGE.read_text(), flags=re.DOTALL)
    assert found == 1
    PAGE.write_text(page)


main()
