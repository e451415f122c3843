#!/bin/sh
# Installs, removes and purges the packages of FOLDER by piuparts. Needs root, piuparts and dpkg-dev, and the mirror that apt
# uses. BASE=FOLDER names a root of debootstrap's.
# usage: packaging/piuparts.sh FOLDER
set -eu
packages=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
repository=$work/repository
mkdir "$repository"
cp "$packages"/*.deb "$repository"
(cd "$repository" && dpkg-scanpackages -m . >Packages 2>/dev/null)
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
set --
for package in libfusion0 libfusion-dev fusion python3-fusion; do
  set -- "$@" "$repository/$package"_*.deb
done
if ! piuparts -d bookworm -m "$mirror main" ${BASE:+"--existing-chroot=$BASE"} --no-eatmydata --warn-on-others \
  "--extra-repo=deb [trusted=yes] file:$repository ./" "--bindmount=$repository" "$@" >"$work/log" 2>&1; then
  grep -E 'ERROR|FAIL' -A 20 "$work/log" | head -n 40
  exit 1
fi
echo "piuparts: $(tail -n 1 "$work/log" | sed 's/.*INFO: //')"
