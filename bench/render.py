#!/usr/bin/env python3
"""Writes the results of bench/measure.py into docs/performance.md and docs/kernels.md: what stands between
`<!-- begin NAME -->` and `<!-- end NAME -->` is replaced, all else is left as it is. A section without results stays.

usage: render.py [--work FOLDER] [--docs docs] [--print]"""
import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"mlp": "MLP 784-128-128-128-10", "quadratic": "quadratic 784-128-128-10", "cnn": "LeNet-like CNN", "cifar": "CIFAR-10 CNN"}
TIERS = ["avx512", "vaes", "avx2", "neon", "c"]
TOTALS_ONLY = ("quadratic", "cifar")  # of these networks the stages are left out
PAGES = ("performance.md", "kernels.md")
# Peers, November 2026: on the same machine, or where it says so on a Zen 4 with AVX-512; "OC" is OpenCheetah.
PEERS = {
    "silent COT, malicious, LAN set": "EMP Ferret 2026: 35 M/s at 0.11 B, 24 M/s at 0.042 B",
    "silent COT, malicious, WAN set": "the same",
    "SoftSpoken COT, malicious, k = 2": "EMP 2026: 59 M/s, 7.9 B",
    "SoftSpoken COT, malicious, k = 4": "EMP 2026: 68 M/s, 3.9 B",
    "SoftSpoken COT, malicious, k = 8": "EMP 2026: 29 M/s, 1.9 B",
    "ReLU and truncation, 26 by 8 bits, exact": "OC 2022: 0.13 M/s, 63 B, 75 % one off",
    "ReLU and truncation, 26 by 8 bits, fast": "OC head, 16 bits, Zen 4: 0.34 M/s, 33 B",
    "ReLU, 37 bits, exact": "OC 2022: 0.11 M/s, 60 B",
    "truncation, 26 by 8 bits, exact": "OC 2022, Zen 4: 0.073 M/s, 56 B, 50 % one off",
    "layer, dense 784 to 128, 2660 samples": "OC 2022, Zen 4: 31 ms, 0.44 MiB",
    "layer, convolution 3x3, 64 to 64, 56x56, 8 samples": "OC 2022, Zen 4: 1.04 s, 6.9 MiB",
    "layer, convolution 1x1, 256 to 1024, 14x14, 10 samples": "OC 2022, Zen 4: 3.5 s, 31.7 MiB",
    "layer, convolution 3x3, 512 to 512, 7x7, 32 samples": "OC 2022, Zen 4: 1.7 s, 15.6 MiB",
}
OC = {"ResNet50": (376, 2367, 2634, 1320), "SqueezeNet-1.1": (95.5, 482, 1472, 629)}


def table(head, rows, left=1):
    align = ["---"] * left + ["--:"] * (len(head) - left)
    lines = [head, align, *rows]
    return "".join("| " + " | ".join(str(c) for c in line) + " |\n" for line in lines)


def rate(x):
    for unit in ("", "k", "M", "G", "T"):
        if x < 1000 or unit == "T":
            return f"{x:.3g} {unit}".strip()
        x /= 1000


def size(x):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if x < 1000 or unit == "GiB":
            return f"{x:.3g} {unit}"
        x /= 1024


def span(s):
    return f"{1e3 * s:.3g} ms" if s < 1 else f"{s:.3g} s" if s < 120 else f"{s / 60:.3g} min"


def by_tier(rows):
    """name -> tier -> row, in the order of the best tier."""
    found = {}
    for r in rows:
        found.setdefault(r["name"], {})[r["tier"]] = r
    return found


def machine(m):
    caches = [f"{name} {m[key]}" for name, key in (("L1d", "l1d"), ("L2", "l2"), ("L3", "l3")) if m[key] != "?"]
    what = ", ".join([f"family {m.get('family', '?')}", *caches])
    return (f"Figures of {m['date']}, commit {m['commit']}, {m['version']}: {m['cores']} cores of {m['processor']} "
            f"({what}), nothing else running.\n")


def ceilings(micro):
    rows = [[name, *(rate(t[k]["per_second"]) if k in t else "-" for k in TIERS), next(iter(t.values()))["unit"]]
            for name, t in by_tier(r for r in micro["rows"] if r["group"] == "ceiling").items()]
    return table(["ceiling, one core, a second", *TIERS, "unit"], rows)


def roofline(micro):
    out = []
    for name, tiers in by_tier(r for r in micro["rows"] if r["group"] not in ("ceiling", "protocol")).items():
        best = next(tiers[k] for k in TIERS if k in tiers)
        needs = ", ".join(f"{v:.3g} {k}" for k, v in best.get("demands", {}).items())
        share = f"{100 * best['share']:.0f} % of {best['bound']}" if "bound" in best else "-"
        out.append([name, best["unit"], *(rate(tiers[k]["per_second"]) if k in tiers else "" for k in TIERS), needs, share])
    return table(["kernel", "unit", *(f"{k}, a second" for k in TIERS), "a unit needs", "share, best tier"], out, 2)


def parts(micro):
    rows = []
    for r in micro["rows"]:
        if r["group"] != "protocol" or r["name"].startswith("matrices"):  # those: docs/protocols/matmul.md
            continue
        cpu = "{} / {}".format(*(span(r[k] * 1e-9) if r[k] > 1e6 else f"{r[k]:.4g} ns" for k in ("server_cpu_ns", "client_cpu_ns")))
        rows.append([r["name"], f"{rate(r['per_second'])} {r['unit']}s", size(r["bytes_to_server"]), size(r["bytes_to_client"]),
                     cpu, PEERS.get(r["name"], "")])
    return table(["part", "a second", "up, each", "down, each", "CPU server / client, each", "peer"], rows)


def threads(t):
    one, two = t["kernels"]["1"], t["kernels"]["2"]
    ratios = sorted((two[k]["per_second"] / one[k]["per_second"], k) for k in one if k in two)
    middle = ratios[len(ratios) // 2][0]
    text = (f"The {len(ratios)} kernels on two threads, each on its own data: {middle:.2f} times one thread's rate in the median, "
            f"{ratios[0][0]:.2f} ({ratios[0][1]}) to {ratios[-1][0]:.2f} ({ratios[-1][1]}).\n\n")
    rows = [[NAMES.get(k, k), span(v["1"]), span(v["2"]), f"{v['1'] / v['2']:.2f}"] for k, v in t["run"].items()]
    return text + table(["`fusion run`, a sample", "one thread", "two threads", "ratio"], rows)


def jobs(rows):
    out = []
    for folder, name, *c in rows:
        label = NAMES["cifar"] if folder == "cifar" else NAMES.get(name, name)
        out.append([label, c[0], c[1], c[2], c[3], c[4].replace("%", " %"), c[5].replace("%", " %"), c[6], c[7], c[8], c[9]])
    return table(["network", "R", "N", "verdict", "all answers equal", "float", "fixed", "seconds", "ms a sample", "KiB a sample",
                  "round trips"], out)


def stages(found):
    out = []
    for s in found:
        n, whole = s["samples"], s["model"] in TOTALS_ONLY
        for g in s["stages"]:
            if g["seconds"] > s["seconds"] / 500 and not whole:  # what takes less is in the sum alone
                out.append([f"{NAMES[s['model']]}, N = {n}", g["name"], f"{1e3 * g['seconds'] / n:.4f}",
                            f"{1e3 * g['server_cpu'] / n:.4f}", f"{1e3 * g['client_cpu'] / n:.4f}",
                            f"{g['bytes_to_server'] / 1024 / n:.2f}", f"{g['bytes_to_client'] / 1024 / n:.2f}", g["delays"]])
        out.append([f"{NAMES[s['model']]}, N = {n}" if whole else "", "**in all**", f"**{1e3 * s['seconds'] / n:.4f}**", f"{1e3 * s['server_cpu'] / n:.4f}",
                    f"{1e3 * s['client_cpu'] / n:.4f}", f"{s['bytes_to_server'] / 1024 / n:.2f}",
                    f"{s['bytes_to_client'] / 1024 / n:.2f}", f"peak {size(s['peak_memory'])}"])
    return table(["network", "stage", "ms a sample", "server CPU", "client CPU", "KiB up", "KiB down", "delays"], out, 2)


def networks(found):
    rows = []
    for s in (s for s in found if s["workers"] in (1, 4)):
        computing = max(s["server_cpu"], s["client_cpu"])
        line = max(s["bytes_to_server"], s["bytes_to_client"]) / s["bytes_per_second"]
        rows.append([f"{NAMES.get(s['model'], s['model'])}, N = {s['samples']}", s["network"].upper(), s["workers"], f"{s['seconds']:.3f}",
                     f"{1e3 * s['seconds'] / s['samples']:.3f}", f"{computing:.2f}", f"{line:.2f}",
                     f"{100 * max(computing, line) / s['seconds']:.0f} %"])
    return table(["network", "line", "connections", "seconds", "ms a sample", "computing s", "line s", "larger of both"], rows, 2)


def netns(found):
    if not found:
        return None
    rows = [[f"{NAMES[r['model']]}, N = {r['samples']}", r["network"].upper() if r["network"] != "none" else "unhindered",
             r["line"], r["workers"], f"{r['seconds']:.2f}", f"{1e3 * r['seconds'] / r['samples']:.3f}",
             f"{(r['bytes_sent'] + r['bytes_received']) / 1024 / r['samples']:.1f}", "yes" if r["equal"] else r["verdict"],
             size(r["server_peak"])] for r in found]
    return table(["network", "line", "made by", "connections", "seconds", "ms a sample", "KiB a sample", "answers equal",
                  "server's peak memory"], rows, 3)


def scale(found):
    cells = {(s["samples"], s["workers"]): s for s in found}
    rows = []
    for n in sorted({s["samples"] for s in found}):
        one, two = cells[n, 1], cells.get((n, 2))
        rows.append([f"{n:,}", f"{1e3 * one['seconds'] / n:.3f}", f"{1e3 * one['server_cpu'] / n:.3f}",
                     f"{(one['bytes_to_server'] + one['bytes_to_client']) / 1024 / n:.2f}", size(one["peak_memory"]),
                     f"{1e3 * two['seconds'] / n:.3f}" if two else "-", size(two["peak_memory"]) if two else "-"])
    return table(["N", "ms a sample", "server CPU", "KiB a sample", "peak, both parties", "two connections: ms a sample", "peak"], rows, 0)


def imagenet(found):
    rows = []
    for s in found:
        n, oc = s["samples"], OC.get(s["model"])
        stage = {g["name"]: f"{g['seconds'] / n:.2f}" for g in s["stages"]}
        mib = (s["bytes_to_server"] + s["bytes_to_client"]) / 2 ** 20 / n
        rows.append([s["model"], s["engine"], f"{s['seconds'] / n:.2f}", f"{stage['linear']} / {stage['relu']} / {stage['pool']}",
                     f"{s['server_cpu'] / n:.2f} / {s['client_cpu'] / n:.2f}", f"{mib:.0f}", f"{s['peak_memory'] / 2 ** 20:.0f}", s["delays"],
                     *(["-"] * 2 if not oc else [f"{oc[0]} s, {oc[1]:,} MiB, {oc[2]:,} / {oc[3]:,} MiB", f"{oc[1] / mib:.1f}x"])])
    return table(["network", "engine", "s a sample", "linear / relu / pool", "CPU server / client s", "MiB a sample", "peak MiB, both parties",
                  "delays", "OC 2022: time, traffic, peak", "fewer bytes"], rows)


WRITERS = {"machine": ("machine", machine), "ceilings": ("micro", ceilings), "roofline": ("micro", roofline), "parts": ("micro", parts),
           "threads": ("threads", threads), "jobs": ("jobs", jobs), "stages": ("stages", stages),
           "networks": ("networks", networks), "netns": ("netns", netns), "scale": ("scale", scale), "imagenet": ("imagenet", imagenet)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default=ROOT / "build/bench-work", type=Path)
    parser.add_argument("--docs", default=ROOT / "docs", type=Path)
    parser.add_argument("--print", action="store_true", help="print the sections instead")
    args = parser.parse_args()
    results = {p.stem: json.loads(p.read_text()) for p in sorted((args.work / "results").glob("*.json"))}
    written = {name: write(results[source]) for name, (source, write) in WRITERS.items() if results.get(source)}
    pages = {name: (args.docs / name).read_text() for name in PAGES}
    for name, content in written.items():
        if content is None:
            continue
        if args.print:
            print(f"## {name}\n\n{content}")
            continue
        places = 0
        for page, text in pages.items():
            pages[page], count = re.subn(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)",
                                         lambda m: m[1] + "\n" + content + "\n" + m[2], text, flags=re.DOTALL)
            places += count
        if places != 1:
            print(f"render.py: {args.docs}: {places} places for section '{name}', expected 1", file=sys.stderr)
            return 1
    if not args.print:
        for page, text in pages.items():
            (args.docs / page).write_text(text)
    return 0


sys.exit(main())
