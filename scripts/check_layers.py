#!/usr/bin/env python3
"""Checks that dependencies run downwards only. usage: check_layers.py [project folder]

base < rand, net, data < lattice, ot, garble < share < stack < session < bench < api < tools. model and mixcheck see base alone. The
command (tools) and the examples see the public headers alone; a public header sees public headers. Prints each include that
breaks this, and exits 1 if there is any."""
import re
import sys
from pathlib import Path

# What each folder of src may include, besides itself and <fusion/...>.
ALLOWED = {
    "base": set(),
    "rand": {"base"},
    "net": {"base"},
    "data": {"base"},
    "model": {"base"},
    "mixcheck": {"base"},
    "lattice": {"base", "rand", "net"},
    "ot": {"base", "rand", "net"},
    "garble": {"base", "rand", "net"},
    "share": {"base", "rand", "net", "lattice", "ot", "garble"},
    "stack": {"base", "rand", "net", "lattice", "ot", "garble", "share", "model"},
}
ALLOWED["session"] = ALLOWED["stack"] | {"stack", "mixcheck", "data"}
ALLOWED["bench"] = ALLOWED["session"] | {"session"}
ALLOWED["api"] = ALLOWED["bench"] | {"bench"}
NO_CRYPTO = {"model", "mixcheck", "data"}
CRYPTO = re.compile(r"(sodium|openssl)[./]")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def findings(root):
    for path in sorted([*root.glob("src/**/*.[ch]"), *root.glob("tools/**/*.[ch]"), *root.glob("include/**/*.h")]):
        part, folder = path.relative_to(root).parts[:2]
        for kind, target in INCLUDE.findall(path.read_text()):
            top = target.split("/")[0]
            if part == "include":
                if top in ALLOWED or kind == '"':
                    yield path, target, "a public header includes public headers only"
            elif part == "tools":
                if kind == '"' and "/" in target:
                    yield path, target, "the command uses the public headers only"
            elif folder not in ALLOWED:
                yield path, target, f"src/{folder} has no place in the order; add it to check_layers.py"
            elif top in ALLOWED and top != folder and top not in ALLOWED[folder]:
                yield path, target, f"{folder} may include: {', '.join(sorted(ALLOWED[folder])) or 'nothing'}"
            elif kind == '"' and "/" not in target and target != "onnx.pb-c.h":
                yield path, target, "write the folder too: \"folder/file.h\""
            elif folder in NO_CRYPTO and CRYPTO.match(target):
                yield path, target, f"{folder} is free of cryptography"


root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
wrong = list(findings(root))
for path, target, rule in wrong:
    print(f"{path.relative_to(root)}: includes {target}: {rule}")
sys.exit(bool(wrong))
