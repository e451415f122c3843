#!/bin/sh
# Installs the packages of FOLDER into a fresh Debian 12, edits the two lines of the unit, starts its command as an
# unprivileged user, and has a client served; then the package's own tests (debian/tests), and the purge.
# Needs root, debootstrap and iproute2, and the mirror that apt uses. BASE=FOLDER names a root of debootstrap's to copy.
# usage: packaging/test_install.sh FOLDER
set -eu
if [ -z "${TEST_INSTALL_INSIDE-}" ]; then
  # What is mounted below is gone when the script ends.
  TEST_INSTALL_INSIDE=yes exec unshare --mount -- "$0" "$@"
fi
packages=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
root=$work/root
finish() {
  umount "$root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap finish EXIT
say() { echo "test_install: $*"; }
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

# --- a fresh root ---
if [ -n "${BASE-}" ]; then
  cp -a "$BASE" "$root"
else
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
  debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
fi
mount -t proc proc "$root/proc"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no daemons
chmod +x "$root/usr/sbin/policy-rc.d"
inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends openssl gcc libc6-dev pkg-config >"$work/apt.log" 2>&1 ||
  { tail "$work/apt.log"; exit 1; }
inside dpkg --get-selections >"$work/before"

# --- the packages ---
mkdir "$root/packages"
cp "$packages"/fusion_*.deb "$packages"/libfusion0_*.deb "$packages"/libfusion-dev_*.deb "$packages"/python3-fusion_*.deb "$root/packages/"
inside sh -c 'apt-get install -y -qq --no-install-recommends /packages/*.deb' >"$work/apt.log" 2>&1 ||
  { tail "$work/apt.log"; exit 1; }
say "installed: $(inside fusion version)"

# --- a model and a certificate, and the two marked lines ---
mkdir "$root/source" "$root/srv/fusion"
(cd "$source" && tar -c debian/tests packaging tests/model/data/gemm.onnx) | tar -x -C "$root/source"
inside sh -c 'cd /srv/fusion && /source/packaging/smoke_data.sh /source/tests/model/data/gemm.onnx >/dev/null'
chmod 0600 "$root/srv/fusion/server.key"
unit=$root/etc/systemd/system/fusion.service
cp "$root/lib/systemd/system/fusion.service" "$unit"
sed -i -e 's|/etc/fusion/model.fsn --listen 0.0.0.0:7700|/srv/fusion/model.fsn --listen 127.0.0.1:7701|' \
  -e 's|^\(LoadCredential=[^:]*\):/etc/fusion|\1:/srv/fusion|' "$unit"

# --- what systemd does with them: copies of the credentials, a folder for the state, a user without rights ---
credentials=/run/credentials/fusion.service
inside install -d -o nobody -m 0700 "$credentials" /var/lib/fusion
sed -n 's/^LoadCredential=//p' "$unit" | while IFS=: read -r name file; do
  inside install -o nobody -m 0400 "$file" "$credentials/$name"
done
command=$(sed -n '/^ExecStart=/,/[^\\]$/p' "$unit" | sed -e 's/^ExecStart=//' -e 's/\\$//' | tr '\n' ' ')
# A network of its own: the ports are those of the unit, whatever runs on this machine.
cat >"$root/serve" <<S
export CREDENTIALS_DIRECTORY=$credentials STATE_DIRECTORY=/var/lib/fusion
umask 0077
exec $command
S
cat >"$root/ask" <<'S'
set -eu
setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all sh /serve 2>/tmp/serve.log &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
cd /srv/fusion
query() {
  fusion query 127.0.0.1:7701 --tls-ca ca.pem --input queries.csv --public public.csv --labels labels.csv -q -o answers.npy
}
for _ in $(seq 300); do
  grep -q listening /tmp/serve.log && break
  kill -0 $server || { cat /tmp/serve.log; exit 1; }
  sleep 0.1
done
query
kill -TERM $server
wait $server
trap - EXIT
fusion ledger verify /var/lib/fusion/ledger.db
S
unshare --net sh -c "ip link set lo up && exec chroot '$root' env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 sh /ask"
say "the unit's command served a client"

# --- the package's own tests ---
for name in job link python; do
  unshare --net sh -c "ip link set lo up && exec chroot '$root' env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 /source/debian/tests/$name" \
    >"$work/test.log" 2>&1 || { cat "$work/test.log"; say "debian/tests/$name failed"; exit 1; }
  say "debian/tests/$name: $(tail -n 1 "$work/test.log")"
done

# --- and away again ---
inside apt-get purge -y -qq fusion libfusion0 libfusion-dev python3-fusion >"$work/apt.log" 2>&1 || { tail "$work/apt.log"; exit 1; }
left=$(find "$root/usr" "$root/lib/systemd" "$root/etc" -xdev -name '*fusion*' ! -path "$unit" | sed "s|^$root||")
[ -z "$left" ] || { say "left behind: $left"; exit 1; }
say "purged: nothing is left but the administrator's unit"
