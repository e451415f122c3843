#!/bin/sh
# The whole path on real handwritten digits: train, compile, serve and query over TLS on this machine; then two servers that
# cheat, and are caught. Everything it writes is in demo-out/ (or $DEMO_OUT). usage: examples/demo.sh (or: make demo)
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-build}
case $build in /*) ;; *) build=$project/$build ;; esac
python=$("$project/scripts/find_python.sh" numpy torch sklearn) || exit 77
out=${DEMO_OUT:-$project/demo-out}
rm -rf "$out"
mkdir -p "$out"
cd "$out"
PATH=$build:$PATH
started=$(date +%s)
server=

stop_server() {
  [ -n "$server" ] || return 0
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}
trap stop_server EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n\n' "$*"; }
# Shows a command, then runs it.
run() {
  echo "$ $*"
  "$@"
}
# Starts a server in the background on a free port; waits until it listens.
start() {
  program=$1
  shift
  echo "$ $(basename "$program") $* --listen 127.0.0.1:0 --tls-cert server.pem --tls-key server.key &"
  rm -f port
  "$program" "$@" --listen 127.0.0.1:0 --tls-cert server.pem --tls-key server.key --ready-file port 2>>server.log &
  server=$!
  tries=0
  while [ ! -s port ]; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ] || ! kill -0 "$server" 2>/dev/null; then
      echo "demo: the server did not start:" >&2
      tail -n 5 server.log >&2
      exit 1
    fi
    sleep 0.1
  done
}
# Queries the running server; the exit status must be the expected one.
query() {
  expected=$1 name=$2
  set -- fusion query "127.0.0.1:$(sed 's/.*://' port)" --tls-ca ca.pem --input queries.npy --public public.npy --labels public_labels.npy \
    --min-accuracy 0.9 --raw -o "$name.npy" --report "$name.json" --html "$name.html"
  status=0
  run "$@" || status=$?
  stop_server
  if [ "$status" != "$expected" ]; then
    echo "demo: exit status $status, expected $expected; the server's log ends:" >&2
    tail -n 5 server.log >&2
    exit 1
  fi
}

say "A network for handwritten digits is trained (8x8 pixels, UCI; PyTorch)"
for quality in good low; do
  echo "$ examples/digits.py --out demo-out --quality $quality"
  "$python" "$project/examples/digits.py" --out . --quality $quality | tail -n 1
done

say "The server compiles it to fixed point"
run fusion compile model.onnx --calibrate calib.npy -o model.fsn
fusion compile low.onnx --calibrate calib.npy -o low.fsn >/dev/null

say "Throw-away certificates: an authority, and a server that it vouches for"
(
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=fusion demo authority" \
    -keyout ca.key -out ca.pem
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
) >openssl.log 2>&1 || { cat openssl.log >&2; exit 1; }
echo "ca.pem server.pem server.key"

say "The client plans: copies and public samples that leave a cheating server 2^-40"
run fusion plan --queries 128 --min-accuracy 0.9

say "An honest server"
start fusion serve model.fsn
query 0 honest
fusion run model.fsn --input queries.npy -o expected.npy >/dev/null
cmp honest.npy expected.npy
echo "           equal, bit for bit, to the model run in the clear"
"$python" -c "
import numpy as np
right = (np.load('honest.npy').argmax(1) == np.load('query_labels.npy')).mean()
print(f'           {100 * right:.1f} % of the 128 private digits are read rightly')"

say "A server that saves on its model: the same network, hardly trained"
start fusion serve low.fsn
query 10 cheap
[ ! -e cheap.npy ]

say "A server that alters the answers of 20 samples, wherever they are in the shuffle"
start "$build/tests/cheating_server" model.fsn --cheat answers=20
query 10 altered
[ ! -e altered.npy ]

say "Done in $(($(date +%s) - started)) s: the honest server accepted, both cheats caught; records (*.json, *.html) in $out"
