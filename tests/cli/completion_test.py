#!/usr/bin/env python3
"""The scripts of `fusion --completion` in their own shells: each offers exactly the options that --help shows, the words of
a choice, files where files belong, and commands. Exits 77, a skip that shows, where a shell is not installed.

usage: completion_test.py FUSION SOURCE"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FUSION, SOURCE = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
sys.path.insert(0, str(SOURCE / "scripts"))
import check_docs  # noqa: E402

# COMP_WORDS as bash makes them: "=" is a word of its own.
BASH = r"""
source ./script
while IFS= read -r line; do
  read -ra words <<<"${line//=/ = }"
  [[ $line == *' ' ]] && words+=('')
  COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
  _fusion
  echo "> ${COMPREPLY[*]}"
done <lines
"""
FISH = """
source ./script
while read -l line
    echo '>' (complete -C $line | string split -f 1 \\t)
end <lines
"""
# zsh completes on a terminal alone: another zsh behind one, in which compadd writes down what it would add.
ZSH_INNER = r"""
PS1= ; autoload -Uz compinit; compinit -u -D; source ./script
zstyle ':completion:*' completer _complete
compadd() {
  local -a hits
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  builtin compadd -A hits "$@"
  print -rn -- " $hits" >>said
  return 0
}
finish() { print -r -- ' .' >>said; BUFFER=; zle redisplay }
zle -N finish
bindkey '^I' complete-word
bindkey '^T' finish
: >ready # the zsh in front waits for it
"""
ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "source ./inner"
for ((i = 0; i < 300; i++)); do [[ -e ready ]] && break; sleep 0.1; done
count=0
while IFS= read -r line; do
  zpty -w -n z "$line"$'\t\x14'
  ((count++))
  for ((i = 0; i < 300; i++)); do
    [[ -e said && $(grep -c ' \.$' said) -ge $count ]] && break
    zpty -r -t z >/dev/null
    sleep 0.02
  done
done <lines
zpty -d z
sed 's/ \.$//; s/^/>/' said
"""


def offers(shell, lines):
    """What each line's last word may become, as the shell says it."""
    folder = Path(tempfile.mkdtemp())
    try:
        script = subprocess.run([FUSION, "--completion", shell], check=True, capture_output=True, text=True).stdout
        for name, text in [("script", script), ("lines", "".join(line + "\n" for line in lines)), ("inner", ZSH_INNER),
                           ("a file.npy", ""), ("run", {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell])]:
            (folder / name).write_text(text)
        (folder / "folder").mkdir()
        done = subprocess.run([shell, *({"bash": ["--norc"], "zsh": ["-f"], "fish": ["-N"]}[shell]), "run"], cwd=folder, text=True,
                              capture_output=True, timeout=100, env={**os.environ, "HOME": str(folder), "TERM": "dumb"})
        assert done.returncode == 0 and not done.stderr, f"{shell}: {done.returncode}: {done.stdout}{done.stderr}"
        rows = [line for line in done.stdout.splitlines() if line.startswith(">")]
        assert len(rows) == len(lines), f"{shell}: {done.stdout}"
        return [row[1:].strip() for row in rows]
    finally:
        shutil.rmtree(folder)


def tables():
    """(command, its long options): of each command, and of what `fusion bench` measures."""
    listed = subprocess.run([FUSION, "help"], check=True, capture_output=True, text=True).stdout
    names = [[n] for n in re.findall(r"^  ([\w-]+) ", listed, re.M) if n != "help"]
    for name in names:
        text = check_docs.help_text(FUSION, *name)
        modes = re.match(r"usage: fusion \w+ (\w+(?:\|\w+)+) ", text)
        names += [[*name, mode] for mode in modes[1].split("|")] if modes else []
        yield " ".join(name), {o for o in check_docs.help_options(text) if o.startswith("--")}


def check(shell, known):
    commands = {name for name, _ in known if " " not in name} | {"help"}
    lines = [f"fusion {name} --" for name, _ in known] + [
        "fusion ", "fusion help ", "fusion bench ", "fusion ledger ", "fusion compile --rounding ", "fusion compile --rounding=f",
        "fusion plan --queries ", "fusion keygen -o ", "fusion serve --prepared-folder ", "fusion run ", "fusion query ",
        "fusion plan --engine sci-", "fusion --cpu-tier c p", "fusion compile -o out.fsn --roun"]
    got = offers(shell, lines)
    for (name, options), found in zip(known, got):
        found = {o.rstrip("=") for o in found.split()}
        assert found == options, f"{shell}: fusion {name}: lacks {options - found}, offers {found - options}"
    said = dict(zip(lines, got))
    words = {line: {w.rstrip("=") for w in text.split()} for line, text in said.items()}
    assert words["fusion "] - {"--cpu-tier", "--help", "--version", "--completion", "-h"} == commands, words["fusion "]
    assert words["fusion help "] == commands
    assert words["fusion bench "] == {"micro", "model", "engines", "calibrate"}
    assert "verify" in words["fusion ledger "]
    assert words["fusion compile --rounding "] == {"exact", "fast"}
    assert {w.split("=")[-1] for w in words["fusion compile --rounding=f"]} == {"fast"}
    assert not said["fusion plan --queries "] and "file.npy" not in said["fusion query "], f"{shell}: {said}"
    for line in ("fusion keygen -o ", "fusion run "):
        assert re.search(r"a\\? file\.npy", said[line]) and "folder" in said[line], f"{shell}: {line}: {said[line]}"
    assert "folder" in said["fusion serve --prepared-folder "] and "file.npy" not in said["fusion serve --prepared-folder "]
    assert {"sci-ot", "sci-he"} <= words["fusion plan --engine sci-"]
    assert words["fusion --cpu-tier c p"] == {"plan", "prepare"}
    assert words["fusion compile -o out.fsn --roun"] == {"--rounding"}


def main():
    shells = ("bash", "zsh", "fish")
    missing = [shell for shell in shells if not shutil.which(shell)]
    if missing:
        print(f"not installed: {', '.join(missing)}")
        return 77
    known = list(tables())
    for shell in shells:
        check(shell, known)
        print(f"{shell}: {len(known)} tables of options, as --help shows them")
    refused = subprocess.run([FUSION, "--completion", "tcsh"], capture_output=True, text=True)
    assert refused.returncode == 2 and "bash, zsh or fish" in refused.stderr
    return 0


if __name__ == "__main__":
    sys.exit(main())
