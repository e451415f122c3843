#!/usr/bin/env python3
"""Checks the structure of the sources. usage: check_layers.py [project folder]

Each folder may include itself, the public headers and the folders that LAYERS names for it: dependencies run downwards
only. `program`, the compiled network, is the waist: what makes programs (graph, reader, onnx, execute, compile) and what runs
them privately (engine, session) know it and not each other. No other folder includes an engine's. The command and the
examples see the public headers alone; a public header sees public headers; tests and bench see every folder but no
private header of the command. Also: no circle of includes, file names unique in the tree, no folder of src/ with more
than an eighth of its lines, kernel tables named and registered as base/kernel_tables.h says. Prints each finding and
exits 1 if there is any."""
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

MATHS = {"base", "rand", "net"}
# What each folder of src may include, besides itself and <fusion/...>.
LAYERS = {
    "base": set(),
    "rand": {"base"},
    "net": {"base"},
    "data": {"base"},
    "mixcheck": {"base"},
    "program": {"base"},
    "graph": {"base", "program"},
    "reader": {"base", "program", "graph"},
    "onnx": {"base", "program", "graph", "reader"},
    "execute": {"base", "program"},
    "compile": {"base", "program", "graph", "execute"},
    "lattice": MATHS,
    "slots": MATHS | {"lattice"},
    "ot": MATHS,
    "silent": MATHS | {"ot"},
    "garble": MATHS | {"ot"},
    "gates": MATHS | {"ot", "garble"},
    "engine": MATHS | {"program"},
}
# For engines: see AN_ENGINE.
LAYERS["steps"] = MATHS | {"program", "lattice", "ot", "garble", "gates", "engine"}
LAYERS["continuity"] = {"base", "program"}
LAYERS["session"] = MATHS | {"data", "mixcheck", "program", "engine", "continuity"}
LAYERS["service"] = MATHS | {"session"}
# Tests and bench alone iterate over all kernels.
LAYERS["kernels"] = MATHS | {"program", "graph", "execute", "lattice", "slots", "ot", "silent", "garble", "gates"}
LAYERS["bench"] = set(LAYERS)
LAYERS["api"] = set(LAYERS)
# Of each engine's folder, src/engine/NAME.
AN_ENGINE = MATHS | {"program", "lattice", "slots", "ot", "silent", "garble", "gates", "steps", "engine"}
NO_CRYPTO = {"data", "mixcheck", "program", "graph", "reader", "onnx", "execute", "compile"}
CRYPTO = re.compile(r"(sodium|openssl)[./]")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
PARTS = ("src", "tools", "include", "tests", "bench", "examples")
SHARED_NAMES = {"meson.build", "README.md"}
LARGEST_PART = 8  # a folder of src/ holds at most this fraction of its lines


def folder_of(path):
    """The place in LAYERS of a path below src/."""
    folder = "/".join(path.split("/")[:-1])
    while folder and folder not in LAYERS:
        folder = folder.rpartition("/")[0]
    return folder


def source_rule(path, kind, target):
    own, other = folder_of("/".join(path.split("/")[1:])), folder_of(target)
    if not own:
        return f"{path.rpartition('/')[0]} has no place in the order; add it to LAYERS"
    if other and other != own and other not in LAYERS[own]:
        return f"{own} may include: {', '.join(sorted(LAYERS[own])) or 'nothing'}"
    if kind == '"' and "/" not in target:
        return 'write the folder too: "folder/file.h"'
    if own in NO_CRYPTO and CRYPTO.match(target):
        return f"{own} is free of cryptography"
    return None


def rule_broken(path, kind, target):
    part = path.split("/")[0]
    if part == "src":
        return source_rule(path, kind, target)
    if part == "include" and (kind == '"' or folder_of(target)):
        return "a public header includes public headers only"
    if part in ("tools", "examples") and kind == '"' and "/" in target:
        return "the command and the examples use the public headers only"
    if part in ("tests", "bench") and target.startswith(("tools/", "../tools")):
        return "the command is tested through its command line"
    return None


def include_findings(root, files):
    for path in files:
        for kind, target in INCLUDE.findall((root / path).read_text()):
            rule = rule_broken(path, kind, target)
            if rule:
                yield f"{path}: includes {target}: {rule}"


def resolve(target, files):
    for prefix in ("src/", "tests/", "include/", "tools/fusion/"):
        if prefix + target in files:
            return prefix + target
    return None


def circles(root, files):
    """Circles of headers; and of folders, by the includes of all their files."""
    known, headers, folders = set(files), defaultdict(set), defaultdict(set)
    for path in files:
        for _, target in INCLUDE.findall((root / path).read_text()):
            other = resolve(target, known)
            if not other:
                continue
            if path.endswith(".h"):
                headers[path].add(other)
            if path.startswith("src/") and other.startswith("src/"):
                own = folder_of(path[len("src/"):])
                if own != folder_of(target):
                    folders[own].add(folder_of(target))
    for name, edges in (("headers", headers), ("folders", folders)):
        done = set()

        def visit(node, trail):
            if node in trail:
                yield f"a circle of {name}: {' -> '.join(trail[trail.index(node):] + [node])}"
                return
            if node in done:
                return
            for other in sorted(edges.get(node, ())):
                yield from visit(other, trail + [node])
            done.add(node)

        for node in sorted(edges):
            yield from visit(node, [])


def name_findings(files):
    places = defaultdict(list)
    for path in files:
        places[path.rpartition("/")[2]].append(path)
    for name, paths in sorted(places.items()):
        if len(paths) > 1 and name not in SHARED_NAMES:
            yield f"{name}: more than one file has this name: {', '.join(paths)}"


def size_findings(root, files):
    lines = Counter()
    for path in files:
        if path.startswith("src/"):
            lines[folder_of(path[len("src/"):])] += (root / path).read_text().count("\n")
    for folder, count in sorted(lines.items()):
        if count * LARGEST_PART > sum(lines.values()):
            yield f"src/{folder}: {count} of {sum(lines.values())} lines, more than an eighth"


TIERS = ("c", "avx2", "avx512")
TABLES = re.compile(r"^KERNEL_TABLES((?:_VAES|_NEON)*)\((\w+)\);", re.MULTILINE)
TABLE = re.compile(r"^const struct (\w+)_kernels (\w+) =", re.MULTILINE)
# Loops that show what a tier can do.
NO_KERNELS = {"src/bench/ceilings_avx2.c", "src/bench/ceilings_avx512.c", "src/bench/ceilings_neon.c"}


def kernel_findings(root, files):
    """One table a module and tier, in a file of its name, and a row for the module in the registry."""
    registry = (root / "src/kernels/kernel_registry.c").read_text()
    expected, found = set(), set()
    for path in (f for f in files if f.startswith("src/")):
        text, (folder, _, name) = (root / path).read_text(), path.rpartition("/")
        for more, module in TABLES.findall(text):
            tiers = (*TIERS, *more.lower().split("_")[1:])
            expected |= {(f"{folder}/{module}_kernels_{tier}.c", f"{module}_kernels_{tier}") for tier in tiers}
            if name != f"{module}_kernels.h":
                yield f"{path}: the tables of {module} are declared in {module}_kernels.h"
            if f"&kernels_of_{module}," not in registry:
                yield f"{path}: {module} is not in kernels/kernel_registry.c"
        found |= {(path, table) for _, table in TABLE.findall(text)}
        if name.endswith(("_avx2.c", "_vaes.c", "_avx512.c", "_neon.c")) and not TABLE.search(text) and path not in NO_KERNELS:
            yield f"{path}: holds no table of kernels"
    for path, table in sorted(expected - found):
        yield f"{path}: {table} is missing"
    for path, table in sorted(found - expected):
        yield f"{path}: {table} is not declared by KERNEL_TABLES in the header of its module"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    LAYERS.update({f"engine/{p.name}": AN_ENGINE for p in (root / "src/engine").iterdir() if p.is_dir()})
    files = sorted(str(p.relative_to(root)) for part in PARTS for p in (root / part).rglob("*.[ch]"))
    findings = [*include_findings(root, files), *circles(root, files), *name_findings(files), *size_findings(root, files),
                *kernel_findings(root, files)]
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(bool(findings))


main()
