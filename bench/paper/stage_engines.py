"""Tables II to IV: every engine on MNIST and CIFAR-10, LAN and WAN."""
import json
import re
import subprocess
from pathlib import Path

import paper_context
import paper_networks
import paper_words

NAME, TITLE = "engines", "Tables II to IV: the engines"
ENGINES = ["cheetah", "cheetah-wan", "delphi", "sci-he", "sci-ot", "aby", "aby-matrix"]
SIZES = [(8, 8), (32, 7), (128, 6), (512, 5), (8192, 4)]  # R, B at T = 100
FIRST = [8, 64]  # samples of runs that the others are predicted from
RATES = {"lan": 382e6, "wan": 44e6}  # bytes a second, as src/net/shaped.c has them
WHOLE = 45.0  # seconds: a run that is predicted to take longer is projected
# A sample by the paper's tables, read as MiB and seconds: bytes, LAN, WAN.
PAPER_MNIST = {"cheetah": (1.19, 0.0235, 0.041), "delphi": (128.4, 0.564, 1.57), "sci-ot": (12.6, 0.062, 0.208), "aby": (170.98, 0.742, 2.29)}


def listed(c, name):
    """A network of scripts/models.json, compiled."""
    root = Path(__file__).resolve().parents[2]
    entry = json.loads((root / "scripts/models.json").read_text())[name]
    folder = c.folder(Path(entry["onnx"]).parent)
    onnx, fsn = folder / Path(entry["onnx"]).name, c.work / "networks" / f"{name}.fsn"
    fsn.parent.mkdir(parents=True, exist_ok=True)
    if onnx.suffix == ".xz":
        plain = fsn.with_suffix(".onnx")
        if not plain.exists():
            with plain.open("wb") as out:
                subprocess.run(["xz", "-dc", onnx], stdout=out, check=True)
        onnx = plain
    if not fsn.exists() or fsn.stat().st_mtime < c.program.stat().st_mtime:
        subprocess.run([c.program, "compile", onnx, "--calibrate", c.data / entry["images"], *entry["compile"], "-o", fsn], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return fsn


def run(c, fsn, samples, line, engine):
    m = c.bench(fsn, samples, line, engine)
    return {"samples": samples, "seconds": m["seconds"], "bytes": m["bytes_to_server"] + m["bytes_to_client"]}


def extrapolated(runs, n):
    """Seconds of n samples: on the line through the two largest runs, or in proportion to the only one."""
    last = runs[-1]
    if len(runs) == 1:
        return last["seconds"] / last["samples"] * n
    slope = (last["seconds"] - runs[-2]["seconds"]) / (last["samples"] - runs[-2]["samples"])
    return last["seconds"] + max(slope, 0) * (n - last["samples"])


def column(c, name, fsn, engine, line):
    """For each (R, B): seconds and bytes a query, measured or projected from the largest runs that were."""
    label, model, runs, rows = f"{name} {engine} {line}", c.fusion.load(str(fsn)), [], []
    limit = 20 if c.quick else WHOLE

    def measure(n):
        if runs and extrapolated(runs, n) > limit:
            return None
        runs.append(c.cell(f"{label} {n}", lambda: run(c, fsn, n, line, engine)))
        return runs[-1]

    for n in FIRST:
        measure(n)
    for queries, copies in SIZES[:2] if c.quick else SIZES:
        n = queries * copies + 100
        m = measure(n)
        cost = model.predict_cost(n, shard=min(n, 4096), engine=engine)
        rows.append({"queries": queries, "copies": copies, "samples": n, "measured": m is not None, "from": runs[-1]["samples"],
                     "seconds": (m["seconds"] if m else extrapolated(runs, n)) / queries,
                     "bytes": (m["bytes"] if m else cost.bytes_to_server + cost.bytes_to_client) / queries})
    return rows


def table(c, name, title, fsn):
    found = {"name": name, "title": title, "engines": {}, "refused": {}}
    model = c.fusion.load(str(fsn))
    for engine in ENGINES:
        try:
            model.predict_cost(FIRST[0], engine=engine)
        except c.fusion.ModelError as e:
            found["refused"][engine] = str(e)
            continue
        found["engines"][engine] = {line: column(c, name, fsn, engine, line) for line in ("lan", "wan")}
    return found


def measure(c):
    tables = []
    for name, data in paper_networks.all_of(c, ["digits"] if c.quick else ["mnist"]):
        tables.append(table(c, name, f"{data.title}, fully connected", paper_networks.network(c, name, data).path))
    try:
        if not c.quick:
            tables.append(table(c, "cifar", "CIFAR-10, MiniONN's network", listed(c, "MiniONN-CIFAR10")))
    except paper_context.Missing as e:
        c.missing.append(str(e))
    return {"tables": tables}


def page(found):
    lines = ["A query, copies and public samples included: time on the line and traffic. Times in *italics* are projected from the largest runs that were",
             "measured (a run predicted to take more than 45 s is not made); traffic is counted, or declared, which tests hold to be the same.",
             "An engine that refuses a network for its traffic has what its linear layers alone would move, by formula.",
             "Lines: LAN 382 MB/s and 0.3 ms, WAN 44 MB/s and 40 ms, imitated; one connection, one core each.", ""]
    for t in found["tables"]:
        for line in ("lan", "wan"):
            sizes = next(iter(t["engines"].values()))[line]
            lines += [f"{t['title']}, {line.upper()}:", "",
                      "| engine | " + " | ".join(f"R = {r['queries']:,}, B = {r['copies']}" for r in sizes) + " |",
                      "|---|" + "--:|" * len(sizes)]
            for engine, by_line in t["engines"].items():
                cells = [f"{paper_words.emphasised(paper_words.seconds(r['seconds']), not r['measured'])}, {paper_words.size(r['bytes'])}" for r in by_line[line]]
                lines.append(f"| `{engine}` | " + " | ".join(cells) + " |")
            lines += [by_formula(engine, why, sizes, line) for engine, why in t["refused"].items()] + [""]
        for engine, why in t["refused"].items():
            lines += [f"`{engine}`: {why}", ""]
        if t["name"] == "mnist":
            lines += mnist_beside_paper(t)
    return lines


def by_formula(engine, why, sizes, line):
    """A row for an engine that refuses the network: what its linear layers alone would move, and the line's time for that."""
    traffic_of_all = re.search(r"([\d.]+ .iB), where", why)
    if not traffic_of_all:
        return f"| `{engine}` (refused) | " + " | ".join("-" for _ in sizes) + " |"
    sample, cells = paper_words.named_size(traffic_of_all.group(1)), []
    for r in sizes:
        traffic = sample * r["samples"] / r["queries"]
        cells.append(f"*> {paper_words.seconds(traffic / RATES[line])}*, > {paper_words.size(traffic)}")
    return f"| `{engine}` (refused) | " + " | ".join(cells) + " |"


def mnist_beside_paper(t):
    lines = ["A sample of the MNIST network beside the paper's table IV, whose units we read as MiB and ms (784 inputs do not fit into its \"1.2 KiB\", and its figure",
             "for ABY is what 134,400 triples take in MiB):", "", "| engine | paper: traffic, LAN, WAN | ours: traffic, LAN, WAN |", "|---|--:|--:|"]
    for engine, (mib, lan, wan) in PAPER_MNIST.items():
        if engine not in t["engines"]:
            continue
        rows = {line: t["engines"][engine][line][-1] for line in ("lan", "wan")}
        a = rows["lan"]["queries"] / rows["lan"]["samples"]
        lines.append(f"| `{engine}` | {mib} MiB, {paper_words.seconds(lan)}, {paper_words.seconds(wan)} | {paper_words.size(rows['lan']['bytes'] * a)}, "
                     f"{paper_words.seconds(rows['lan']['seconds'] * a)}, {paper_words.seconds(rows['wan']['seconds'] * a)} |")
    return [*lines, ""]
