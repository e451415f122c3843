"""The Python that runs a script: Debian's packages (python3-numpy, python3-torch, ...) serve /usr/bin/python3 alone, and
another python3 may stand before it on the PATH."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

FIND = Path(__file__).resolve().parents[1] / "scripts/find_python.sh"


def need(*modules):
    """Starts the program anew under the interpreter that find_python.sh finds, unless this one has the modules."""
    if all(importlib.util.find_spec(m) for m in modules):
        return
    found = subprocess.run([FIND, *modules], capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"{Path(sys.argv[0]).name}: {found.stderr.strip()}")
    python = found.stdout.strip()
    os.execv(python, [python, *sys.argv])
