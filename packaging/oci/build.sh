#!/bin/sh
# Makes an OCI image of the packages of FOLDER by buildah and runs a job with it: the server in the container, as its user,
# a client outside. The image lies in FOLDER as fusion-VERSION.oci.tar. BASE=NAME takes another base image than Debian's.
# STORAGE=FOLDER keeps images elsewhere. Needs root, openssl and iproute2; the client is the one of the image, too.
# usage: packaging/oci/build.sh FOLDER
set -eu
packages=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n "s/.*version: '\([0-9.]*\)'.*/\1/p" "$source/meson.build" | head -n 1)
work=$(mktemp -d)
build() { buildah ${STORAGE:+--root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver vfs} "$@"; }
finish() {
  [ -z "${container-}" ] || build rm "$container" >/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# Nothing in it depends on when it is built, but what Debian has.
mkdir "$work/context"
cp "$packages"/fusion_*.deb "$packages"/libfusion0_*.deb "$work/context"
epoch=$(dpkg-parsechangelog -l "$source/debian/changelog" -S Timestamp)
build build --isolation chroot --timestamp "$epoch" ${BASE:+--build-arg "BASE=$BASE"} -f "$source/packaging/oci/Containerfile" \
  -t "fusion:$version" "$work/context" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
build push -q "fusion:$version" "oci-archive:$packages/fusion-$version.oci.tar:fusion:$version"
container=$(build from "fusion:$version")
tree=$(build mount "$container")

# The data by the image's command; then its server, with its own user and command line, in a network of its own.
mkdir "$work/etc" "$work/bin"
cat >"$work/bin/fusion" <<S
#!/bin/sh
LD_LIBRARY_PATH=\$(echo "$tree"/usr/lib/*-linux-gnu) exec "$tree/usr/bin/fusion" "\$@"
S
chmod +x "$work/bin/fusion"
PATH=$work/bin:$PATH
(cd "$work/etc" && "$source/packaging/smoke_data.sh" "$source/tests/model/data/gemm.onnx" >/dev/null)
chown -R 65532:65532 "$work/etc"
chmod 0755 "$work" "$work/etc"
words=$(build inspect --type image --format '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}{{range .OCIv1.Config.Cmd}}{{.}} {{end}}' \
  "fusion:$version")
cat >"$work/job" <<S
set -eu
ip link set lo up
buildah ${STORAGE:+--root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver vfs} run --isolation chroot \
  -v "$work/etc:/etc/fusion:ro" "$container" -- $words 2>"$work/serve.log" &
for _ in \$(seq 300); do
  grep -q listening "$work/serve.log" && break
  sleep 0.1
done
cd "$work/etc"
fusion query 127.0.0.1:7700 --tls-ca ca.pem --input queries.csv --public public.csv --labels labels.csv -q -o "$work/answers.npy" ||
  { cat "$work/serve.log"; exit 1; }
ps -o user= -C fusion
S
unshare --net --pid --fork --mount-proc --kill-child sh "$work/job"
echo "oci: $packages/fusion-$version.oci.tar serves a client"
