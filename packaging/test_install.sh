#!/bin/sh
# Installs the packages of FOLDER into a fresh Debian 12 and runs the package's own tests (debian/tests); then that Debian starts
# in a container, the two lines of the unit are changed, systemd starts the service, and a client is served; then the purge.
# Needs root, debootstrap, systemd-nspawn and iproute2, and the mirror that apt uses. BASE=FOLDER names a root of debootstrap's
# to copy.
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
inside apt-get install -y -qq --no-install-recommends systemd systemd-sysv dbus openssl gcc libc6-dev pkg-config >"$work/apt.log" 2>&1 ||
  { tail "$work/apt.log"; exit 1; }

# --- the packages ---
mkdir "$root/packages"
cp "$packages"/fusion_*.deb "$packages"/libfusion0_*.deb "$packages"/libfusion-dev_*.deb "$packages"/python3-fusion_*.deb "$root/packages/"
inside sh -c 'apt-get install -y -qq --no-install-recommends /packages/*.deb' >"$work/apt.log" 2>&1 ||
  { tail "$work/apt.log"; exit 1; }
say "installed: $(inside fusion version)"

# --- the package's own tests, in a network of their own ---
mkdir "$root/source"
(cd "$source" && tar -c debian/tests packaging tests/model/data/gemm.onnx) | tar -x -C "$root/source"
for name in job link python; do
  unshare --net sh -c "ip link set lo up && exec chroot '$root' env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 /source/debian/tests/$name" \
    >"$work/test.log" 2>&1 || { cat "$work/test.log"; say "debian/tests/$name failed"; exit 1; }
  say "debian/tests/$name: $(tail -n 1 "$work/test.log")"
done

# --- Debian starts, with a model, a certificate, and the two marked lines of the unit changed ---
unit=$root/etc/systemd/system/fusion.service
cat >"$root/root/check" <<'S'
set -eux
! systemctl is-enabled fusion.service
mkdir /srv/fusion && cd /srv/fusion
/source/packaging/smoke_data.sh /source/tests/model/data/gemm.onnx
chmod 0600 server.key
sed -e 's|/etc/fusion/model.fsn --listen 0.0.0.0:7700|/srv/fusion/model.fsn --listen 127.0.0.1:7701|' \
  -e 's|^\(LoadCredential=[^:]*\):/etc/fusion|\1:/srv/fusion|' /lib/systemd/system/fusion.service >/etc/systemd/system/fusion.service
systemctl daemon-reload
systemctl enable --now fusion
fusion query 127.0.0.1:7701 --tls-ca ca.pem --input queries.csv --public public.csv --labels labels.csv -q -o answers.npy
systemctl reload fusion
for _ in $(seq 100); do
  journalctl -u fusion -o cat | grep -q '"reloaded"' && break
  sleep 0.1
done
journalctl -u fusion -o cat | grep '"reloaded"'
systemctl disable --now fusion
test "$(systemctl show fusion -P Result)" = success
fusion ledger verify /var/lib/fusion/ledger.db | grep 'verified  *1 row'
touch /root/passed
S
cat >"$root/etc/systemd/system/install-check.service" <<'S'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=300
ExecStart=/bin/sh /root/check
ExecStopPost=/bin/sh -c 'journalctl -u fusion -u install-check --no-pager -o cat >/root/check.log; systemctl poweroff'
[Install]
WantedBy=multi-user.target
S
inside systemctl -q enable install-check.service
systemd-nspawn -q -D "$root" --register=no --keep-unit --private-network -b >"$work/boot.log" 2>&1 || tail "$work/boot.log"
[ -e "$root/root/passed" ] || { cat "$root/root/check.log"; say "the service did not serve"; exit 1; }
grep -E '^(verdict|traffic)' "$root/root/check.log"
say "systemd started the service with the two lines changed, and it served a client"

# --- and away again ---
inside apt-get purge -y -qq fusion libfusion0 libfusion-dev python3-fusion >"$work/apt.log" 2>&1 || { tail "$work/apt.log"; exit 1; }
left=$(find "$root/usr" "$root/lib/systemd" "$root/etc" -xdev -name '*fusion*' ! -path "$unit" | sed "s|^$root||")
[ -z "$left" ] || { say "left behind: $left"; exit 1; }
say "purged: nothing is left but the administrator's unit"
