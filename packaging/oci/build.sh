#!/bin/sh
# Makes an OCI image of the packages of FOLDER by buildah and runs a job with it: the server in the container, as its user,
# a client outside. The image lies in FOLDER as fusion-VERSION.oci.tar. BASE=NAME takes another base image than Debian's.
# STORAGE=FOLDER keeps images elsewhere. Needs root, openssl, iproute2 and procps.
# usage: packaging/oci/build.sh FOLDER
set -eu
packages=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n "s/.*version: '\([0-9.]*\)'.*/\1/p" "$source/meson.build" | head -n 1)
work=$(mktemp -d)
storage=${STORAGE:+"--root $STORAGE/root --runroot $STORAGE/run --storage-driver vfs"}
# shellcheck disable=SC2086
build() { buildah $storage "$@"; }
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

# The data by the image's command; then its server, with its own user and command line, in a network of its own.
job=$work/job
mkdir "$job" "$work/bin"
cat >"$work/bin/fusion" <<S
#!/bin/sh
exec buildah $storage run --isolation chroot --user 0:0 -v "$job:/job" --workingdir /job "$container" -- /usr/bin/fusion "\$@"
S
chmod +x "$work/bin/fusion"
PATH=$work/bin:$PATH
cp "$source/tests/model/data/gemm.onnx" "$job"
(cd "$job" && "$source/packaging/smoke_data.sh" gemm.onnx >/dev/null)
chown -R 65532:65532 "$job"
chmod 0755 "$work"
words=$(build inspect --type image --format '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}{{range .OCIv1.Config.Cmd}}{{.}} {{end}}' \
  "fusion:$version")
cat >"$work/ask" <<S
set -eu
ip link set lo up
buildah $storage run --isolation chroot -v "$job:/etc/fusion:ro" "$container" -- $words 2>"$work/serve.log" &
for _ in \$(seq 300); do
  grep -q listening "$work/serve.log" && break
  sleep 0.1
done
fusion query 127.0.0.1:7700 --tls-ca ca.pem --input queries.csv --public public.csv --labels labels.csv -q -o answers.npy ||
  { cat "$work/serve.log"; exit 1; }
ps -o uid= -C fusion | grep -qw 65532
S
unshare --net --pid --fork --mount-proc --kill-child sh "$work/ask"
echo "oci: $packages/fusion-$version.oci.tar serves a client"
