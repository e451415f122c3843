#!/usr/bin/env python3
"""Compares the messages that the sources declare with docs/protocols/messages.md. usage: check_messages.py [project folder]

A declaration is MSG_NAME = MESSAGE_TYPE(class, number) in the header that the page names for the class. No two messages
may have one number; every message has its row on the page, with its name and the files that send it; a row without a
declaration is marked as retired, and its number is not used again. Prints each finding and exits 1 if there is any."""
import re
import sys
from collections import defaultdict
from pathlib import Path

PAGE = "docs/protocols/messages.md"
TEST_CLASS = 0xFF
# Declared outside the header of its class: a peer of version 1 has to read it, and net itself sends it.
EXCEPTIONS = {"REFUSAL": "src/net/channel.h"}
DECLARATION = re.compile(r"\bMSG_(\w+)\s*=\s*MESSAGE_TYPE\((0x[0-9a-fA-F]+|\d+),\s*(0x[0-9a-fA-F]+|\d+)\)")
ANY_DECLARATION = re.compile(r"\bMSG_(\w+)\s*=(?!=)|#\s*define\s+MSG_(\w+)|(?<!define )\bMESSAGE_TYPE\(")
CODE = re.compile(r"`([^`]+)`")
RETIRED = "retired"


def declarations(root):
    """{(class, number): [(name, file)]}, and findings."""
    found, findings = defaultdict(list), []
    for path in sorted(p for p in (root / "src").rglob("*.[ch]")):
        name = str(path.relative_to(root))
        text = path.read_text()
        for message, group, number in DECLARATION.findall(text):
            found[int(group, 0), int(number, 0)].append((message, name))
        for match in ANY_DECLARATION.finditer(DECLARATION.sub("", text)):
            findings.append(f"{name}: '{match.group(0)}': write MSG_NAME = MESSAGE_TYPE(class, number), with numbers")
    return found, findings


def table(text, heading):
    """The rows of the table below a heading, as lists of cells."""
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def page(root):
    """{class: header}, {(class, number): (name, sending files)}, and findings."""
    text, findings = (root / PAGE).read_text(), []
    classes, messages = {}, {}
    for group, _, header, *_ in table(text, "Classes"):
        if int(group) in classes:
            findings.append(f"{PAGE}: class {group} has two rows")
        classes[int(group)] = CODE.findall(header)[0]
    for number, name, _, files, *_ in table(text, "Numbers"):
        key = tuple(map(int, number.split(".")))
        if key in messages:
            findings.append(f"{PAGE}: {number} has two rows")
        messages[key] = name, CODE.findall(files)
    if not classes or not messages:
        findings.append(f"{PAGE}: the tables 'Classes' and 'Numbers' are missing")
    return classes, messages, findings


def declared_findings(found, classes, messages):
    names = defaultdict(list)
    for (group, number), places in sorted(found.items()):
        label = f"{group}.{number}"
        if len(places) > 1:
            yield f"{label}: two messages have this number: {', '.join(f'{n} in {f}' for n, f in places)}"
        if not (0 <= group < TEST_CLASS and 0 < number < 256):
            yield f"{label}: classes of src are 0 to {TEST_CLASS - 1}, numbers 1 to 255"
        for name, file in places:
            names[name].append(label)
            home = EXCEPTIONS.get(name, classes.get(group))
            if not home:
                yield f"{file}: {name} is of class {group}, which {PAGE} does not list"
            elif file != home:
                yield f"{file}: {name} is of class {group}, which is declared in {home}"
            listed = messages.get((group, number), (None,))[0]
            if listed is None:
                yield f"{file}: {name} ({label}) is missing from {PAGE}"
            elif listed == RETIRED:
                yield f"{file}: {name} has the number {label}, which is retired; take another"
            elif listed != name:
                yield f"{file}: {name} has the number {label}, which is {listed} in {PAGE}; numbers never change"
    for name, labels in sorted(names.items()):
        if len(labels) > 1:
            yield f"{name}: declared more than once: {', '.join(labels)}"


def page_findings(root, found, messages):
    for (group, number), (name, files) in sorted(messages.items()):
        label = f"{PAGE}: {group}.{number} {name}"
        if name == RETIRED:
            continue
        if (group, number) not in found:
            yield f"{label} is declared nowhere; a message that is gone stays as '{RETIRED}'"
        if not files:
            yield f"{label}: name the file that sends it"
        for file in files:
            path = root / file
            if not path.is_file() or not re.search(rf"\bMSG_{name}\b", path.read_text()):
                yield f"{label}: {file} does not send it"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    found, findings = declarations(root)
    classes, messages, wrong = page(root)
    findings += [*wrong, *declared_findings(found, classes, messages), *page_findings(root, found, messages)]
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(bool(findings))


main()
