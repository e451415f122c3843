"""scripts/check_docs.py finds each sort of contradiction in a small tree with a stand-in for the command.

usage: check_docs_test.py SOURCE"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HELP = """#!/bin/sh
case $1 in
  help) printf 'commands:\\n  serve      Serves.\\n  help       Shows this.\\n' ;;
  serve) printf 'options:\\n  -p, --port N          The port, not --host.\\n      --quiet           Nothing.\\n  -h, --help  This.\\n' ;;
esac
"""
MAN = '.TH F 1 "2026" "fusion 1.2" "x"\n.SH OPTIONS\n.TP\n.BR \\-p ", " \\-\\-port " \\fIN"\nPort.\n.TP\n.B \\-\\-quiet\nNothing.\n'
PACKAGE = "fusion (1.2-1) unstable; urgency=medium\n"
CONTROL = "Source: fusion\nBuild-Depends:\n libone-dev (>= 3),\n\nPackage: fusion\nDepends: libtwo-dev\n"
BUILDING = "gcc\nlibc6-dev\nlibone-dev\n\n# Tests\nlibthree-dev\n"
README = "# Title\n\n[a](docs/page.md#one-two) [b](#title) [c](https://example.org/x)\n\n    [not](a-link)\n\nIt takes 0.4 ms.\n"
PAGE = "# Page\n\n## One, two\n\n`[not](a-link)` [up](../README.md)\n\nIt takes 0.397 ms.\n"
FIGURES = [{"name": "time", "places": [["README.md", "takes ([\\d.]+) ms"], ["docs/page.md", "takes ([\\d.]+) ms"]]}]

# What is replaced in which file, and the line that must be said; none: the tree is right.
MISTAKES = [
    ("nothing wrong", "README.md", "", "", None),
    ("option only in the help", "docs/man/fusion-serve.1", ".TP\n.B \\-\\-quiet\n", ".PP\n", "lacks --quiet"),
    ("option only in the page", "docs/man/fusion-serve.1", "Port.", ".TP\n.B \\-\\-gone\nPort.", "has --gone"),
    ("letter only in the help", "docs/man/fusion-serve.1", '\\-p ", " ', "", "lacks -p"),
    ("link to no file", "docs/page.md", "../README.md", "../README.txt", "'../README.txt': no such file"),
    ("link to no heading", "README.md", "#one-two", "#one-three", "'docs/page.md#one-three': no such heading"),
    ("link to no own heading", "README.md", "(#title)", "(#titel)", "'#titel': no such heading"),
    ("figures differ", "docs/page.md", "0.397", "0.46", "figure 'time' differs: 0.4 in README.md; 0.46 in docs/page.md"),
    ("older version", "docs/man/fusion-serve.1", "1.2", "1.1", 'lacks "fusion 1.2"'),
    ("older package", "debian/changelog", "1.2-1", "1.1-2", "its first entry is not of version 1.2"),
    ("package not built with", "scripts/packages.txt", "libone-dev", "libone-dev\nlibtwo-dev", "Build-Depends lacks libtwo-dev"),
    ("figure gone", "docs/page.md", "takes", "took", "0 places match"),
    ("command of two words without a page", "command", "  serve      Serves.", "  check-it   Checks.\\n  serve      Serves.",
     "no page for 'fusion check-it'"),
]


def main():
    checker = Path(sys.argv[1]) / "scripts/check_docs.py"
    for name, file, old, new, expected in MISTAKES:
        folder = Path(tempfile.mkdtemp())
        try:
            (folder / "docs/man").mkdir(parents=True)
            (folder / "debian").mkdir()
            (folder / "scripts").mkdir()
            for path, text in [("README.md", README), ("docs/page.md", PAGE), ("docs/man/fusion-serve.1", MAN),
                               ("debian/changelog", PACKAGE), ("debian/control", CONTROL), ("scripts/packages.txt", BUILDING),
                               ("docs/figures.json", json.dumps(FIGURES)),
                               ("meson.build", "  version: '1.2'"), ("command", HELP)]:
                (folder / path).write_text(text.replace(old, new) if path == file else text)
            texts = {"README.md": README, "docs/page.md": PAGE, "command": HELP, "debian/changelog": PACKAGE,
                     "scripts/packages.txt": BUILDING}
            assert not old or old in texts.get(file, MAN), name
            (folder / "command").chmod(0o755)
            done = subprocess.run([sys.executable, str(checker), str(folder), str(folder / "command")],
                                  capture_output=True, text=True)
            lines = done.stdout.splitlines()
            assert done.returncode == (1 if expected else 0), f"{name}: {done.returncode}: {done.stdout}{done.stderr}"
            assert len(lines) == 1 and (not expected or expected in lines[0]), f"{name}: {lines}"
        finally:
            shutil.rmtree(folder)
    print(f"{len(MISTAKES)} trees judged as they should be")


main()
