"""What the documents and examples show runs as it stands."""
import contextlib
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import fusion

SOURCE = Path(__file__).resolve().parents[2]


def test_documents__code_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = list(re.finditer(r"^```python\n(.*?)^```", (SOURCE / "docs/python.md").read_text(), re.M | re.S))
    assert len(blocks) > 8
    names, printed = {}, io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore", fusion.FusionWarning)
        for block in blocks:
            line = block.string[:block.start()].count("\n") + 1
            exec(compile("\n" * line + block[1], "docs/python.md", "exec"), names)
    said = printed.getvalue()
    for expected in ("verdict    accept: all copies agree", "public answers are wrong", "5 100 2660", "'missing.fsn'", "\n44\n"):
        assert expected in said


def test_ten_lines__print_an_accepting_verdict(tmp_path):
    example = SOURCE / "examples/ten_lines.py"
    lines = [line for line in example.read_text().splitlines() if not line.startswith(("#!", '"""'))]
    assert len(lines) == 10 and all(len(line) < 120 for line in lines)
    done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("verdict    accept: all copies agree")


def test_readme__lines_are_python():
    (block,) = re.findall(r"^```python\n(.*?)^```", (SOURCE / "README.md").read_text(), re.M | re.S)
    assert "fusion.Client" in block and compile(block, "README.md", "exec")
