"""scripts/spdx.py: every file that git knows once, with its checksums and the licence that debian/copyright gives it; the same
bytes twice; and it refuses a file or a library of which nothing is said.

usage: spdx_test.py SOURCE"""
import atexit
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(sys.argv[1]).resolve()
COPYRIGHT = """Format: x
Comment: of all

Files: *
Copyright: 2026 A
License: Apache-2.0

Files:
 data/one.npy
 data/t*.npy
Copyright: 1998 B, C
License: CC-BY-4.0
"""


def spdx(folder):
    return subprocess.run([sys.executable, SOURCE / "scripts/spdx.py", folder], capture_output=True, text=True)


def tree(copyright_text=COPYRIGHT, meson="project(version: '1.2')\ndependency('zlib')\ndependency('threads')\n"):
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    for name, text in [("debian/copyright", copyright_text), ("meson.build", meson), ("README.md", "x"), ("data/one.npy", "1"),
                       ("debian/changelog", "f (1.2-1) u\n\n -- A <a@b>  Sun, 29 Nov 2026 13:00:00 +0100\n"), ("data/two.npy", "2"),
                       ("data/other.npy", "3"), ("build/left.o", "4")]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def small_tree__licences_and_date():
    made = json.loads(spdx(tree()).stdout)
    licences = {f["fileName"]: f["licenseConcluded"] for f in made["files"]}
    assert set(licences) == {"./debian/copyright", "./meson.build", "./README.md", "./data/one.npy", "./data/two.npy",
                             "./data/other.npy", "./debian/changelog"}, licences
    assert {n for n, licence in licences.items() if licence == "CC-BY-4.0"} == {"./data/one.npy", "./data/two.npy"}
    assert made["creationInfo"]["created"] == "2026-11-29T12:00:00Z"
    assert [p["name"] for p in made["packages"]] == ["fusion", "zlib"]
    assert made["packages"][0]["licenseConcluded"] == "Apache-2.0 AND CC-BY-4.0"


def unknown__is_refused():
    said = spdx(tree(copyright_text=COPYRIGHT.replace("Files: *", "Files: *.md")))
    assert said.returncode == 1 and "says nothing on data/other.npy" in said.stderr, said.stderr
    said = spdx(tree(meson="project(version: '1.2')\ndependency('libnew')\n"))
    assert said.returncode == 1 and "the licence of libnew is unknown" in said.stderr, said.stderr


def sources__are_listed_whole():
    first = spdx(SOURCE)
    assert first.returncode == 0, first.stderr
    assert first.stdout == spdx(SOURCE).stdout
    made = json.loads(first.stdout)
    for entry in made["files"]:
        data = (SOURCE / entry["fileName"]).read_bytes()
        assert entry["checksums"][1]["checksumValue"] == hashlib.sha256(data).hexdigest(), entry
    assert len({f["SPDXID"] for f in made["files"]}) == len({f["fileName"] for f in made["files"]}) == len(made["files"]) > 500


for check in (small_tree__licences_and_date, unknown__is_refused, sources__are_listed_whole):
    check()
    print(check.__name__)
