#!/bin/sh
# An example script that starts under a Python without its modules goes on under one that has them, or says in one line
# what is missing. usage: interpreter.sh SOURCE_FOLDER
set -eu
cd "$1/examples"
bare="$("$1/scripts/find_python.sh" numpy torch) -S" || exit 77 # -S: without the packages of the system
$bare -c 'import importlib.util as u, sys; sys.exit(u.find_spec("numpy") is not None)' || exit 77
$bare mnist.py --help | grep -q '^usage: mnist.py'
said=$($bare -c 'import interpreter; interpreter.need("numpy", "no_such_module")' 2>&1) && exit 1
[ "$said" = "-c: find_python.sh: no Python 3 with: numpy no_such_module; install the Debian packages (make setup)" ] ||
  { echo "said: $said"; exit 1; }
