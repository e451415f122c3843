#!/usr/bin/env bash
# One private query with canaries, after an audit, and the same with labelled samples: `fusion serve` and the client over TLS
# on loopback, a process each. Prints samples, seconds, traffic and each side's processor seconds; fails if the answers are not
# those of `fusion run`. Labels are the model's own answers: they change neither time nor traffic.
# LABELLED=no leaves the last job out, which takes longest.
# usage: bench/one_query.sh MODEL.fsn SAMPLES.npy [AUDITED]
#   SAMPLES  the first is the query, all others (at least 100) are public
#   AUDITED  so many of these are audited (default 25, what one query at 40 bits takes), twice each: enough for measuring,
#            and far less than the 40 bits of a real audit
set -eu
model=$(realpath "$1") samples=$(realpath "$2") audited=${3:-25}
top=$(realpath "$(dirname "$0")/..")
fusion=$(realpath "${BUILD:-$top/build}")/fusion
python=$("$top/scripts/find_python.sh" numpy)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
  -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -addext extendedKeyUsage=serverAuth 2>/dev/null
"$python" -c 'import numpy as n, sys; x = n.load(sys.argv[1]); n.save("query.npy", x[:1]); n.save("public.npy", x[1:])' "$samples"
"$fusion" run "$model" --input public.npy --clip yes -o answers.npy >/dev/null
"$fusion" run "$model" --input query.npy --clip yes -o right.npy >/dev/null
"$python" -c '
import numpy as n, sys
t, labels = int(sys.argv[1]), n.load("answers.npy").argmax(1).astype(n.int64)
n.save("labels.npy", labels); n.save("audited.npy", n.load("public.npy")[:t]); n.save("audited_labels.npy", labels[:t])' "$audited"
"$fusion" serve "$model" --listen 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem --ready-file port --quiet 2>server.log &
server=$!
until [ -s port ]; do
  kill -0 $server || exit 1
  sleep 0.1
done
address=127.0.0.1:$(grep -o '[0-9]*$' port)

# Processor seconds that the server has used.
used() { awk -v tick="$(getconf CLK_TCK)" '{ printf "%.2f", ($14 + $15) / tick }' "/proc/$server/stat"; }
ask() {
  local name=$1 before
  shift
  before=$(used)
  TIMEFORMAT='%U %S'
  { time "$fusion" "$@" --tls-ca cert.pem --clip yes --workers 1 --quiet --report report.json >/dev/null 2>&3; } 3>&2 2>client
  "$python" -c '
import json, sys
r, name, before, after = json.load(open("report.json")), sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
client = sum(map(float, open("client").read().split()))
print("| %s | %d | %.2f MiB | %.1f | %.2f | %.2f |" % (name, r["samples"], (r["bytes_sent"] + r["bytes_received"]) / 2**20,
                                                    r["seconds"], after - before, client), flush=True)' "$name" "$before" "$(used)"
}
echo "| job | samples | traffic | seconds | processor seconds, server | client |"
echo "|---|--:|--:|--:|--:|--:|"
ask "audit, 2 copies each" audit "$address" --public audited.npy --labels audited_labels.npy --public-copies 2 --security 5 \
  --canaries canaries
ask "one query, canaries" query "$address" --input query.npy --canaries canaries --raw -o answer.npy
cmp answer.npy right.npy
[ "${LABELLED:-yes}" = no ] && exit 0
ask "one query, labels" query "$address" --input query.npy --public public.npy --labels labels.npy --raw -o answer.npy
cmp answer.npy right.npy
