#!/usr/bin/env python3
"""Measures what the paper (Fusion, NDSS 2023) measured, on this machine, and writes a page with its tables and figures.

A stage is a table or a figure. What a stage found is kept, and every single run in it, so that an interrupted command goes on where it
was; a stage is measured anew when its source, its settings or the program have changed.

usage: paper.py [--quick] [--data FOLDER] [--build build] [--work FOLDER] [--out FOLDER] [--only STAGE]... [--again]
--quick: small sizes, and sets of scikit-learn in place of FOLDER's, in minutes. --out: where paper.md and figures/ go. --data: mnist,
pneumoniamnist, gene_*, cifar10, fsdd, models; what is absent is left out and named. --again: forgets what was kept. Stages:
"""
import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "examples")]

import interpreter  # noqa: E402

interpreter.need("numpy", "torch", "sklearn", "matplotlib", "onnx")

import paper_context  # noqa: E402
import paper_page  # noqa: E402
import stage_engines  # noqa: E402
import stage_extraction  # noqa: E402
import stage_medical  # noqa: E402
import stage_plan  # noqa: E402
import stage_quadratic  # noqa: E402
import stage_resnet  # noqa: E402
import stage_variance  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STAGES = [stage_plan, stage_engines, stage_medical, stage_resnet, stage_variance, stage_quadratic, stage_extraction]


def main():
    listing = "".join(f"  {s.NAME:<11} {s.__doc__.splitlines()[0]}\n" for s in STAGES)
    parser = argparse.ArgumentParser(description=__doc__ + listing, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build", default=ROOT / "build", type=Path)
    parser.add_argument("--data", default=ROOT / "../shared/data", type=Path)
    parser.add_argument("--work", type=Path, help="default: paper-quick or paper in the build folder")
    parser.add_argument("--out", type=Path, help="default: WORK")
    parser.add_argument("--only", action="append", choices=[s.NAME for s in STAGES], default=[])
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    args.work = args.work or args.build / ("paper-quick" if args.quick else "paper")
    args.out = args.out or args.work

    results = {}
    for stage in STAGES:
        if args.only and stage.NAME not in args.only:
            found = paper_context.kept(args, stage)
        else:
            started = time.time()
            found = paper_context.measured(args, stage)
            print(f"{stage.NAME}: {time.time() - started:.0f} s", file=sys.stderr, flush=True)
        if found is not None:
            results[stage.NAME] = found
    page = paper_page.write(args, STAGES, results)
    print(page)


if __name__ == "__main__":
    main()
