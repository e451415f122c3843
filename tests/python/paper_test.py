"""`make paper` in its quick form, as far as that takes seconds; the attack on exact answers. usage: paper_test.py"""
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/extraction"))

import cryptanalytic  # noqa: E402

import numpy as np  # noqa: E402

STAGES = ("plan", "variance", "quadratic")


def run(work, *more):
    words = [sys.executable, ROOT / "bench/paper/paper.py", "--quick", "--build", os.environ["FUSION_BUILD"], "--work", work]
    for stage in STAGES:
        words += ["--only", stage]
    done = subprocess.run([*words, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def check_page(work):
    page = (work / "paper.md").read_text()
    assert "Verdict: accept" in page and "equal those of the plaintext run" in page, page
    assert "| 512 | 5 | 41.0 | 41.0 | 5, 100 | 5.20, 5.20, 5.04 |" in page, page
    figures = sorted((work / "figures").iterdir())
    assert [f.name for f in figures] == ["paper-variance.svg"], figures
    for figure in figures:
        assert xml.etree.ElementTree.parse(figure).getroot().tag.endswith("svg")
        assert figure.name in page


def check_kept(work):
    """What was found is not measured again, and gives the same page."""
    page, started = (work / "paper.md").read_text(), time.time()
    before = {f.name: f.stat().st_mtime for f in (work / "results").iterdir()}
    run(work)
    assert {f.name: f.stat().st_mtime for f in (work / "results").iterdir()} == before
    assert (work / "paper.md").read_text() == page
    return time.time() - started


def check_attack():
    network = cryptanalytic.random_network(8, 4, 2, seed=3)
    exact = cryptanalytic.report("exact", network, lambda x: cryptanalytic.forward(network, x))
    assert exact["found"] == 4 and exact["error"] < 1e-4, exact
    unit = 2.0 ** -12
    rounded = cryptanalytic.report("rounded", network, lambda x: np.round(cryptanalytic.forward(network, x) / unit) * unit,
                                   **cryptanalytic.adapted(unit))
    assert rounded["found"] < 4, rounded


def main():
    check_attack()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(work)
        check_page(work)
        print(f"again in {check_kept(work):.1f} s")


main()
