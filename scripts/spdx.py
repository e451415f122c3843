#!/usr/bin/env python3
"""Writes an SPDX 2.3 document (JSON) of the sources: each file that git knows (without git: each but build folders) with its
checksums, licence and copyright as debian/copyright has them, and the libraries that libfusion is linked with. The same
sources give the same bytes.

usage: spdx.py SOURCE     (on standard output)"""
import fnmatch
import hashlib
import json
import re
import subprocess
import sys
from datetime import timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

# Of each dependency() of meson.build that the library needs at run time; the licences are those of Debian 12's packages.
LIBRARIES = {
    "libsodium": "ISC",
    "openssl": "Apache-2.0",
    "libprotobuf-c": "BSD-2-Clause",
    "gmp": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "zlib": "Zlib",
    "jansson": "MIT",
    "sqlite3": "blessing",
    "libpq": "PostgreSQL",
    "libmicrohttpd": "LGPL-2.1-or-later",
    "libjpeg": "IJG AND BSD-3-Clause AND Zlib",
    "libpng": "libpng-2.0",
}
NOT_SHIPPED = {"threads", "cmocka"}


def known_files(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode == 0:
        return sorted(name for name in listed.stdout.split("\0") if name)
    names = (str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    return sorted(n for n in names if not n.startswith(("build", ".git/")) and "__pycache__" not in n)


def stanzas(text):
    """Of a file of Debian's control format: each paragraph as {field: value}, continuation lines joined."""
    for paragraph in re.split(r"\n\s*\n", text):
        joined = re.sub(r"\n[ \t]+", " ", paragraph)
        yield dict(re.findall(r"^([A-Za-z-]+): *(.*)$", joined, re.M))


def licence_of(name, rules):
    """The last rule that fits, as the format says; a * stands for slashes, too."""
    found = [rule for rule in rules if any(fnmatch.fnmatchcase(name, p) for p in rule["Files"].split())]
    if not found:
        sys.exit(f"spdx.py: debian/copyright says nothing on {name}")
    return found[-1]["License"], found[-1]["Copyright"].strip()


def file_entry(root, name, rules):
    data = (root / name).read_bytes()
    licence, holder = licence_of(name, rules)
    sums = [{"algorithm": a.upper(), "checksumValue": hashlib.new(a, data).hexdigest()} for a in ("sha1", "sha256")]
    return {"SPDXID": "SPDXRef-File-" + hashlib.sha1(name.encode()).hexdigest()[:16], "fileName": "./" + name, "checksums": sums,
            "licenseConcluded": licence, "licenseInfoInFiles": ["NOASSERTION"], "copyrightText": holder}


def library_entries(meson):
    names = [n for n in re.findall(r"dependency\('([\w-]+)'", meson) if n not in NOT_SHIPPED]
    for name in names:
        if name not in LIBRARIES:
            sys.exit(f"spdx.py: the licence of {name} is unknown; add it to LIBRARIES")
        yield {"SPDXID": f"SPDXRef-Library-{name}", "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
               "licenseConcluded": "NOASSERTION", "licenseDeclared": LIBRARIES[name], "copyrightText": "NOASSERTION"}


def document(root):
    meson = (root / "meson.build").read_text()
    version = re.search(r"version: '([^']+)'", meson)[1]
    rules = [s for s in stanzas((root / "debian/copyright").read_text()) if "Files" in s]
    files = [file_entry(root, name, rules) for name in known_files(root)]
    sums = sorted(f["checksums"][0]["checksumValue"] for f in files)
    code = hashlib.sha1("".join(sums).encode()).hexdigest()
    date = re.search(r"^ -- .*>  (.*)$", (root / "debian/changelog").read_text(), re.M)[1]
    created = parsedate_to_datetime(date).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    libraries = list(library_entries(meson))
    package = {"SPDXID": "SPDXRef-Package", "name": "fusion", "versionInfo": version, "downloadLocation": "NOASSERTION",
               "filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": code},
               "licenseConcluded": " AND ".join(sorted({f["licenseConcluded"] for f in files})), "licenseDeclared": "Apache-2.0",
               "licenseInfoFromFiles": ["NOASSERTION"], "copyrightText": licence_of("README.md", rules)[1]}
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Package"),
                 *(("SPDXRef-Package", "CONTAINS", f["SPDXID"]) for f in files),
                 *(("SPDXRef-Package", "DYNAMIC_LINK", library["SPDXID"]) for library in libraries)]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"fusion-{version}",
            "documentNamespace": f"https://spdx.org/spdxdocs/fusion-{version}-{code}",
            "creationInfo": {"created": created, "creators": ["Tool: fusion-spdx.py"]},
            "packages": [package, *libraries], "files": files,
            "relationships": [dict(zip(("spdxElementId", "relationshipType", "relatedSpdxElement"), r)) for r in relations]}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    json.dump(document(Path(sys.argv[1])), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
