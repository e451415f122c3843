#!/usr/bin/env bash
# Whole jobs as a user runs them: `fusion serve` and `fusion query` over TLS on loopback, one core each, for every network in
# a folder that an example script wrote. Every answer is compared with `fusion run`. Prints a table; fails if anything differs.
# ENGINE=NAME runs another protocol engine than cheetah; COMPILE=OPTIONS are for `fusion compile`; JSON=FILE gets a line for each job,
# with what `fusion inspect` predicts for as many samples in one shard and the processor time of both sides.
# usage: bench/jobs.sh FOLDER MIN_ACCURACY [QUERIES ...]        e.g. examples/mnist.py --out m && bench/jobs.sh m 0.92 128 512
set -eu
folder=$(realpath "$1") accuracy=$2
shift 2
top=$(realpath "$(dirname "$0")/..")
fusion=$(realpath "${BUILD:-$top/build}")/fusion
python=$("$top/scripts/find_python.sh" numpy)
json=${JSON:+$(realpath "$JSON")}
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" && wait "$server" || true; } 2>/dev/null; server=; }
trap 'stop; rm -rf "$work"' EXIT
cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
  -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -addext extendedKeyUsage=serverAuth 2>/dev/null

printf '%-10s %7s %7s  %-7s %6s %7s %7s %9s %9s %10s %7s\n' network queries samples verdict equal float fixed seconds \
  'ms/sample' 'KiB/sample' rounds
for onnx in "$folder"/*.onnx; do
  name=$(basename "$onnx" .onnx)
  # shellcheck disable=SC2086 # several options
  "$fusion" compile "$onnx" --calibrate "$folder/calib.npy" ${COMPILE:-} -o model.fsn >/dev/null
  "$fusion" run model.fsn --input "$folder/test.npy" --labels "$folder/test_labels.npy" --float "$onnx" --clip yes --json >run.json
  for queries in "${@:-128}"; do
    "$python" -c "import numpy as n, sys; f, r = sys.argv[1], int(sys.argv[2]); q = n.load(f + '/queries.npy'); n.save('q.npy', q[n.arange(r) % len(q)])" \
      "$folder" "$queries"
    taskset -c 0 "$fusion" serve model.fsn --engine all --listen 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem --ready-file port 2>server.log &
    server=$!
    for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
    cut -d' ' -f14,15 "/proc/$server/stat" >before.cpu
    code=0
    TIMEFORMAT='%U %S'
    # One connection: where much else runs, the line seems long, and the client would take several, each with its own keys.
    { time taskset -c 1 "$fusion" query "127.0.0.1:$(grep -o '[0-9]*$' port)" --workers 1 --engine "${ENGINE:-cheetah}" --tls-ca cert.pem --input q.npy \
      --public "$folder/public.npy" --labels "$folder/public_labels.npy" --min-accuracy "$accuracy" --clip yes --raw -o answers.npy \
      --report report.json >/dev/null 2>query.log || code=$?; } 2>client.cpu
    cut -d' ' -f14,15 "/proc/$server/stat" >server.cpu
    stop
    rm -f port
    [ $code -eq 0 ] || [ $code -eq 10 ] || { cat query.log >&2; exit 1; }
    "$fusion" run model.fsn --input q.npy --clip yes -o expected.npy >/dev/null
    "$fusion" inspect model.fsn --engine "${ENGINE:-cheetah}" --network none --json \
      --samples "$("$python" -c 'import json; print(json.load(open("report.json"))["samples"])')" >inspect.json
    "$python" - "$name" "$json" <<'P'
import json, os, sys
import numpy as np
r, a = json.load(open("report.json")), json.load(open("run.json"))
accepted = r["verdict"] == "accept"
equal = accepted and np.array_equal(np.load("answers.npy"), np.load("expected.npy"))
n = r["samples"]
print(f"{sys.argv[1]:<10} {r['queries']:>7} {n:>7}  {r['verdict']:<7} {'yes' if equal else 'NO':>6} "
      f"{100 * a['float_accuracy']:>6.1f}% {100 * a['fixed_accuracy']:>6.1f}% {r['seconds']:>9.2f} {1e3 * r['seconds'] / n:>9.3f} "
      f"{(r['bytes_sent'] + r['bytes_received']) / 1024 / n:>10.1f} {r['rounds']:>7}")
if sys.argv[2]:
    p = json.load(open("inspect.json"))["prediction"]
    before, server, client = (sum(map(float, open(f"{name}.cpu").read().split())) for name in ("before", "server", "client"))
    job = {key: r[key] for key in ("queries", "samples", "verdict", "seconds", "bytes_sent", "bytes_received", "rounds")}
    job |= {key: a.get(key) for key in ("float_accuracy", "fixed_accuracy", "agreement")} | {"tests": a["samples"], "equal": bool(equal)}
    job |= {"server_cpu": (server - before) / os.sysconf("SC_CLK_TCK"), "client_cpu": client,
            "predicted": {key: p[key] for key in ("bytes_to_server", "bytes_to_client", "seconds", "server_seconds", "client_seconds", "shard")}}
    open(sys.argv[2], "a").write(json.dumps({"network": sys.argv[1], **job}) + "\n")
sys.exit(accepted and not equal)
P
  done
done
