#!/usr/bin/env python3
"""Checks what the documents say against the command and against each other; each contradiction is one line.

- Options: each option of `fusion X --help` has an entry in docs/man/fusion-X.1, and each entry there is an option.
- Links: each relative link of README, SECURITY, CONTRIBUTING, CHANGELOG and docs names a file that is there and, with an
  anchor, one of its headings.
- Versions: man pages and debian/changelog name that of meson.build.
- Packages: debian/control builds with what scripts/packages.txt has for building.
- Figures: what docs/figures.json names is the same wherever it stands, to the digits that are given there.

usage: check_docs.py SOURCE [COMMAND]     (without COMMAND the options are not looked at)"""
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

# Options of every command: described once, in fusion.1.
EVERYWHERE = {"--cpu-tier", "--help", "-h"}
OPTION = r"(?<![\w-])--?[a-z][a-z0-9-]*"


def help_options(text):
    """The options that begin an entry of a help text."""
    return {o for line in text.splitlines() if re.match(r" {2,6}-", line)
            for o in re.findall(OPTION, re.split(r" {2,}", line.strip())[0])}


def man_options(text):
    """The options in the lines after .TP: `.BR \\-o ", " \\-\\-output\\-file " \\fIFILE"`."""
    found = set()
    for entry in re.findall(r"^\.TP[^\n]*\n(?:\.PD[^\n]*\n)?(\.B[^\n]*)", text, re.M):
        found |= set(re.findall(OPTION, re.sub(r"\\f.", " ", entry).replace("\\-", "-")))
    return found


def help_text(command, *names):
    return subprocess.run([command, *names, "--help"], check=True, capture_output=True, text=True).stdout


def check_options(root, command):
    listed = subprocess.run([command, "help"], check=True, capture_output=True, text=True).stdout
    for name in re.findall(r"^  ([\w-]+) ", listed, re.M):
        page = root / f"docs/man/fusion-{name}.1"
        if name in ("version", "help"):
            continue
        if not page.is_file():
            yield f"docs/man: no page for 'fusion {name}'"
            continue
        text = help_text(command, name)
        modes = re.match(r"usage: fusion \w+ (\w+(?:\|\w+)+) ", text)  # fusion bench micro|model
        for mode in modes[1].split("|") if modes else []:
            text += help_text(command, name, mode)
        helped, written = help_options(text) - EVERYWHERE, man_options(page.read_text()) - EVERYWHERE
        if not helped:
            yield f"fusion {name} --help: no options found"
        for option in sorted(helped - written):
            yield f"docs/man/{page.name}: lacks {option}, which 'fusion {name} --help' has"
        for option in sorted(written - helped):
            yield f"docs/man/{page.name}: has {option}, which 'fusion {name} --help' lacks"


def without_code(text):
    """Markdown without fenced and indented blocks and code spans, where links and headings mean nothing."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    text = re.sub(r"^ {4,}.*$", "", text, flags=re.M)
    return text


def anchors(text):
    """The anchors of a page's headings, made as GitHub makes them."""
    seen, found = {}, set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", without_code(text), re.M):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def check_links(root):
    pages = sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/**/*.md")])
    for page in pages:
        text = re.sub(r"`[^`\n]*`", "", without_code(page.read_text()))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            there = (page.parent / name).resolve() if name else page
            where = f"{page.relative_to(root)}: link to '{target}'"
            if not there.exists():
                yield f"{where}: no such file"
            elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text()):
                yield f"{where}: no such heading"


def check_figures(root):
    """Each entry has a name and places: [file, pattern with one group, factor to a common unit (default 1)]."""
    for entry in json.loads((root / "docs/figures.json").read_text()):
        values, places = [], []
        for name, pattern, *factor in entry["places"]:
            found = re.findall(pattern, (root / name).read_text())
            if len(found) != 1:
                yield f"{name}: figure '{entry['name']}': {len(found)} places match /{pattern}/, not one"
                continue
            number = Decimal(found[0].replace(",", ""))
            unit = Decimal(1).scaleb(number.as_tuple().exponent)
            scale = Decimal(str(factor[0])) if factor else Decimal(1)
            values.append((number * scale, unit * scale))
            places.append(f"{found[0]} in {name}")
        if values:
            finest = min(values, key=lambda v: v[1])
            if any(abs(v - finest[0]) * 2 > unit + finest[1] for v, unit in values):
                yield f"figure '{entry['name']}' differs: {'; '.join(places)}"


def check_versions(root):
    version = re.search(r"version: '([^']+)'", (root / "meson.build").read_text())[1]
    for page in sorted(root.glob("docs/man/*.[1-9]")):
        if f'"fusion {version}"' not in page.read_text().split("\n", 1)[0]:
            yield f"docs/man/{page.name}: its first line lacks \"fusion {version}\""
    if not (root / "debian/changelog").read_text().startswith(f"fusion ({version}-"):
        yield f"debian/changelog: its first entry is not of version {version}"


def check_packages(root):
    """libc6-dev comes with every compiler."""
    building = (root / "scripts/packages.txt").read_text().partition("\n# Tests")[0]
    source = (root / "debian/control").read_text().partition("\nPackage:")[0]
    for name in re.findall(r"^[\w.+-]+-(?:dev|compiler)$", building, re.M):
        if name != "libc6-dev" and not re.search(rf"^ {re.escape(name)}\b", source, re.M):
            yield f"debian/control: Build-Depends lacks {name}, which scripts/packages.txt has"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    root = Path(sys.argv[1]).resolve()
    wrong = [*check_links(root), *check_figures(root), *check_versions(root), *check_packages(root)]
    if len(sys.argv) == 3:
        wrong += check_options(root, sys.argv[2])
    print("\n".join(wrong) or "documents: options, links and figures agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
