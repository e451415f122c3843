#!/usr/bin/env python3
"""check_messages.py finds each kind of mistake. usage: check_messages_test.py PROJECT"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE, GATES = "docs/protocols/messages.md", "src/gates/gate_messages.h"
AND = "MSG_AND = MESSAGE_TYPE(3, 3)"
ROW = "| 3.3 | AND | both | `src/gates/relu_truncate.c`, `src/gates/compare.c`, `src/gates/field_ring.c` | [comparison](compare-relu-truncate.md): a level of the tree, with late tables and choices |"
# What is changed, and what is said of it.
MISTAKES = [
    ("a number twice", GATES, AND, "MSG_AND = MESSAGE_TYPE(3, 4)", "3.4: two messages have this number"),
    ("a changed number", GATES, AND, "MSG_AND = MESSAGE_TYPE(3, 9)", "AND (3.9) is missing from"),
    ("a changed name", GATES, AND, "MSG_OR = MESSAGE_TYPE(3, 3)", "OR has the number 3.3, which is AND"),
    ("a retired number", GATES, AND, f"MSG_OLD = MESSAGE_TYPE(0, 16), {AND}", "OLD has the number 0.16, which is retired"),
    ("a class elsewhere", "src/ot/cot.h", "struct cot;", "enum { MSG_X = MESSAGE_TYPE(3, 5) };", "X is of class 3, which is declared in"),
    ("an unknown class", GATES, AND, f"MSG_X = MESSAGE_TYPE(77, 1), {AND}", "X is of class 77, which"),
    ("the class of tests", GATES, AND, f"MSG_X = MESSAGE_TYPE(255, 1), {AND}", "255.1: classes of src are"),
    ("a number too large", GATES, AND, f"MSG_X = MESSAGE_TYPE(3, 256), {AND}", "3.256: classes of src are"),
    ("a bare number", GATES, AND, f"MSG_X = 773, {AND}", "write MSG_NAME = MESSAGE_TYPE(class, number)"),
    ("a name for a number", GATES, AND, f"MSG_X = MESSAGE_TYPE(GATES, 5), {AND}", "write MSG_NAME = MESSAGE_TYPE(class, number)"),
    ("a missing row", PAGE, ROW, "| 3.9 | retired | | |", "AND (3.3) is missing from"),
    ("a row too many", PAGE, ROW, f"| 3.9 | X | both | `{GATES}` |\n{ROW}", "3.9 X is declared nowhere"),
    ("two rows", PAGE, ROW, f"{ROW}\n{ROW}", "3.3 has two rows"),
    ("another sender", PAGE, ROW, "| 3.3 | AND | both | `src/gates/multiply.c` |", "src/gates/multiply.c does not send it"),
    ("no sender", PAGE, ROW, "| 3.3 | AND | both | |", "name the file that sends it"),
    ("no table", PAGE, "## Numbers", "## Figures", "the tables 'Classes' and 'Numbers' are missing"),
]


def main():
    project = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sources = [p for p in (project / "src").rglob("*.[ch]") if "MSG_" in p.read_text() or p.name == "cot.h"]
        for path in [project / PAGE, *sources]:
            (root / path.relative_to(project)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path.relative_to(project))

        def run():
            return subprocess.run([sys.executable, project / "scripts/check_messages.py", root], capture_output=True, text=True)

        assert run().returncode == 0, run().stdout
        for name, file, old, new, said in MISTAKES:
            before = (root / file).read_text()
            assert old in before, f"{name}: {file} has no '{old}'"
            (root / file).write_text(before.replace(old, new, 1))
            result = run()
            (root / file).write_text(before)
            assert result.returncode == 1 and said in result.stdout, f"{name}: {result.stdout}{result.stderr}"


main()
