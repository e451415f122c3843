"""The notebooks in examples/notebooks run as they stand, by Debian's nbconvert, and are kept with what they showed.

usage: notebooks.py [--update]     --update: writes what they show now"""
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor

FOLDER = Path(__file__).resolve().parents[2] / "examples/notebooks"
LEN_MAX = 100 << 10  # bytes of a file, its plot included
TIMEOUT = 300        # seconds of a cell


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_shown(name, notebook):
    """A verdict that accepts, a plot, nothing on standard error, no path of the machine that ran it."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    data = [output.data for output in outputs if "data" in output]
    assert any("accept: all copies agree" in d.get("text/html", "") for d in data), f"{name}: no verdict"
    assert any("image/png" in d for d in data), f"{name}: no plot"
    wrong = [o.text for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert not wrong, f"{name}: {wrong}"
    assert not any(word in nbformat.writes(notebook) for word in ("/home/", "/tmp/", "/root/")), f"{name}: holds a path"


def check_kept(path):
    """The file as it is kept: run from top to bottom, and small."""
    notebook = nbformat.read(path, 4)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), f"{path.name}: was not run in order; notebooks.py --update"
    check_shown(path.name, notebook)
    assert path.stat().st_size < LEN_MAX, f"{path.name}: {path.stat().st_size} bytes"


def run(path, folder):
    """The notebook with what it shows now."""
    notebook = nbformat.read(path, 4)
    ExecutePreprocessor(timeout=TIMEOUT, kernel_name="python3").preprocess(notebook, {"metadata": {"path": folder}})
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)  # when it ran
    check_shown(path.name, notebook)
    return notebook


def main():
    update = sys.argv[1:] == ["--update"]
    paths = sorted(FOLDER.glob("*.ipynb"))
    assert len(paths) >= 2
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = os.environ["JUPYTER_RUNTIME_DIR"] = folder
        for path in paths:
            if not update:
                check_kept(path)
            notebook = run(path, folder)
            if update:
                nbformat.write(notebook, path)
            print(f"{path.name}: {len(code_cells(notebook))} cells")


if __name__ == "__main__":
    main()
