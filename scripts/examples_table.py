#!/usr/bin/env python3
"""Runs whole jobs on networks of examples/ and writes the last section of docs/models.md.

usage: examples_table.py [--run NAME[,NAME] --folder FOLDER] [--queries N] [--build FOLDER] [-o docs/models.md]
scripts/examples.json holds, for each network: its row's name, the least accuracy and the options of `fusion compile` of its job, and what its
last job measured. --run runs bench/jobs.sh on FOLDER, which the example wrote, and keeps the results. Without --run only the page is written."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "scripts/examples.json"
TITLE = "## Jobs of the example networks\n"
HEAD = TITLE + """
Networks that programs in `examples/` train. Accuracies and agreement are those of `fusion run` on the test samples. A job is `bench/jobs.sh`: copies and public samples
over TLS on loopback, accepted, every answer equal to `fusion run` (`scripts/examples_table.py` runs it and writes the table). "Predicted" is `fusion inspect` for as many samples
in one shard: its bytes beside those that the client counted, with the manifest in them; its processor time of server and client beside what they used, TLS included. Measured on
2 cores of AMD EPYC (Zen 3, AVX2) on 2026-11-30, with little other work.

| example | options | float | fixed | agreement | samples | KiB a sample | predicted | CPU ms a sample | predicted | s | rounds |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def run(entries, args):
    """The jobs of networks of one folder, with the options of the first."""
    with tempfile.TemporaryDirectory() as work:
        lines, first = Path(work) / "jobs.json", entries[0]
        env = {**os.environ, "BUILD": str(args.build.resolve()), "JSON": str(lines), "COMPILE": first["compile"]}
        subprocess.run([ROOT / "bench/jobs.sh", args.folder, str(first["min_accuracy"]), str(args.queries)], env=env, check=True)
        jobs = {job["network"]: job for job in map(json.loads, lines.read_text().splitlines())}
    for entry in entries:
        entry["job"] = jobs[entry["network"]]
        if not entry["job"]["equal"]:
            sys.exit(f"examples_table.py: {entry['example']}: verdict {entry['job']['verdict']}, or answers differ")


def row(entry):
    j, p = entry["job"], entry["job"]["predicted"]
    n = j["samples"]
    percent = lambda share: "-" if share is None else f"{100 * share:.1f} %"  # noqa: E731
    counted, predicted = ((a + b) / 1024 / n for a, b in ((j["bytes_sent"], j["bytes_received"]), (p["bytes_to_server"], p["bytes_to_client"])))
    cells = [entry["example"], f"`{entry['compile']}`" if entry["compile"] else "", percent(j["float_accuracy"]), percent(j["fixed_accuracy"]),
             "-" if j["agreement"] is None else f"{percent(j['agreement'])} of {j['tests']:,}", f"{n:,}", f"{counted:,.1f}", f"{predicted:,.1f}",
             f"{1e3 * j['server_cpu'] / n:.1f}, {1e3 * j['client_cpu'] / n:.1f}",
             f"{1e3 * p['server_seconds'] / n:.1f}, {1e3 * p['client_seconds'] / n:.1f}", f"{j['seconds']:.0f}", str(j["rounds"])]
    return "| " + " | ".join(cells) + " |\n"


def section():
    entries = json.loads(LIST.read_text())
    notes = "".join(f"\n{e['note']}\n" for e in entries.values() if "note" in e)
    return HEAD + "".join(row(e) for e in entries.values() if "job" in e) + notes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--run", metavar="NAME", help="networks whose jobs to run, split by commas")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--build", default=ROOT / "build", type=Path)
    parser.add_argument("-o", "--output", default=ROOT / "docs/models.md", type=Path)
    args = parser.parse_args()
    if args.run:
        entries = json.loads(LIST.read_text())
        names = args.run.split(",")
        if not args.folder or not set(names) <= set(entries):
            parser.error(f"--run takes some of {', '.join(entries)}, and --folder the folder that the example wrote")
        run([entries[name] for name in names], args)
        LIST.write_text(json.dumps(entries, indent=1) + "\n")
    page = args.output.read_text()
    args.output.write_text(page[:page.index(TITLE)] + section())


if __name__ == "__main__":
    main()
