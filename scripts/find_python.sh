#!/bin/sh
# Prints a Python interpreter that has the modules named as arguments. Debian's own comes first: its packages
# (python3-numpy, python3-torch, ...) serve /usr/bin/python3 alone, and another python3 may stand before it on the PATH.
# usage: scripts/find_python.sh numpy torch
for python in /usr/bin/python3 "$(command -v python3)"; do
  [ -x "$python" ] || continue
  missing=0
  for module in "$@"; do
    "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$module') is None)" 2>/dev/null || missing=1
  done
  if [ $missing = 0 ]; then
    echo "$python"
    exit 0
  fi
done
echo "find_python.sh: no Python 3 with: $*; install the Debian packages (make setup)" >&2
exit 1
