"""The package as users install it, with Debian's build tools."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fusion

SOURCE = Path(__file__).resolve().parents[2]


def test_version__is_that_of_the_library():
    assert fusion.__version__ == re.search(r"version: '([^']+)'", (SOURCE / "meson.build").read_text())[1]


def test_names__are_all_there():
    assert all(getattr(fusion, name) is not None for name in fusion.__all__)
    assert all(getattr(fusion, name).__doc__ for name in fusion.__all__)


def test_pip__installs_from_the_sources(tmp_path):
    for name in ("include", "python"):
        shutil.copytree(SOURCE / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("meson.build", "pyproject.toml", "setup.cfg", "setup.py"):
        shutil.copy(SOURCE / name, tmp_path / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-build-isolation", "--no-deps",
           "--no-index", "--target", tmp_path / "there", tmp_path / "source"]
    subprocess.run(pip, check=True, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"})
    (installed,) = (tmp_path / "there").glob("fusion-*.dist-info")
    assert installed.name == f"fusion-{fusion.__version__}.dist-info"
    program = "import fusion; print(fusion.__file__, fusion.plan(512, min_accuracy=0.92).copies)"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(tmp_path / "there")}).stdout.split()
    assert said == [str(tmp_path / "there/fusion/__init__.py"), "5"]


def test_build__without_a_library_says_what_to_do(tmp_path):
    done = subprocess.run([sys.executable, "-W", "ignore", SOURCE / "setup.py", "-q", "build", "--build-base", tmp_path / "b"],
                          cwd=SOURCE, capture_output=True, text=True, env={**os.environ, "FUSION_BUILD": str(tmp_path)})
    assert done.returncode != 0 and "run 'make' or 'make install' first" in done.stderr
