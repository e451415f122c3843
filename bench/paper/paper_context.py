"""What the stages share: the program and the Python package, the data that there are, and results that are kept."""
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Missing(Exception):
    """A data set that is not there; the page names it."""


class Context:
    """args of paper.py; cells: results of single runs, kept in WORK/results/STAGE.cells.json."""

    def __init__(self, args, cells_path):
        self.quick, self.data, self.work = args.quick, args.data, args.work
        self.program = (args.build / "fusion").resolve()
        self.cells_path, self.missing = cells_path, []
        self.cells = json.loads(cells_path.read_text()) if cells_path.exists() else {}
        sys.path.insert(0, str((args.build / "python").resolve()))
        try:
            import fusion
        except ImportError as e:
            sys.exit(f"paper.py: the Python package is not in {args.build / 'python'} ({e}): run 'make python'")
        self.fusion = fusion

    def cell(self, key, make):
        """make()'s result, a value for JSON; once made, kept."""
        if key not in self.cells:
            print(f"  {key}", file=sys.stderr, flush=True)
            self.cells[key] = make()
            write_whole(self.cells_path, json.dumps(self.cells, indent=1))
        return self.cells[key]

    def folder(self, name):
        """A folder of the data; Missing if it is not there, or with --quick."""
        path = self.data / name
        if self.quick or not path.is_dir():
            raise Missing(name)
        return path

    def bench(self, model, samples, network, engine, runs=1, phase="once"):
        words = [self.program, "bench", "model", model, "--samples", samples, "--network", network, "--engine", engine,
                 "--runs", runs, "--phase", phase, "--quiet", "--json"]
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(str(w) for w in words)}: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout)


def write_whole(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def key_of(args, stage):
    """Of a stage's settings and source, and of the release: another commit of the program counts as the same."""
    text = b"".join(p.read_bytes() for p in (Path(stage.__file__), HERE / "paper_networks.py"))
    version = subprocess.run([args.build / "fusion", "version"], capture_output=True, text=True).stdout.split("\n")[0]
    return hashlib.sha256(text + repr((args.quick, version)).encode()).hexdigest()[:16]


def places(args, stage):
    results = args.work / "results"
    return results / f"{stage.NAME}.json", results / f"{stage.NAME}.cells.json"


def kept(args, stage):
    """What was found before, whatever the settings; None: nothing."""
    path = places(args, stage)[0]
    return json.loads(path.read_text())["found"] if path.exists() else None


def machine():
    lines = subprocess.run(["lscpu"], capture_output=True, text=True).stdout.splitlines()
    cpu = {k.strip(): v.strip() for k, v in (line.split(":", 1) for line in lines if ":" in line)}
    return {"processor": f"{cpu.get('Model name', platform.processor())}, family {cpu.get('CPU family', '?')}, "
                         f"model {cpu.get('Model', '?')}", "cores": os.cpu_count(),
            "vectors": "AVX-512" if "avx512f" in cpu.get("Flags", "") else "AVX2", "load": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d", time.gmtime())}


def measured(args, stage):
    path, cells = places(args, stage)
    key = key_of(args, stage)
    if path.exists() and not args.again and json.loads(path.read_text())["key"] == key:
        return kept(args, stage)
    cells_key = cells.with_suffix(".key")
    if args.again or not cells_key.exists() or cells_key.read_text() != key:
        cells.unlink(missing_ok=True)
        write_whole(cells_key, key)
    context = Context(args, cells)
    before = machine()
    found = stage.measure(context)
    found = {**found, "machine": before, "missing": sorted(set(context.missing))}
    write_whole(path, json.dumps({"key": key, "found": found}, indent=1))
    return found
