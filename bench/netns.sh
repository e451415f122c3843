#!/usr/bin/env bash
# A job over a network that is slow for real: `fusion serve` and `fusion query`, two processes over TLS, each in a network
# namespace of its own, one core each, with a line of the given rate and round trip between them. The kernel's netem makes
# the line where it is built in, else bench_link in user space (which takes processor time from the parties). Needs root.
# Prints one JSON object: the verdict with the network and the peak memory of both processes; fails if an answer is wrong.
# usage: bench/netns.sh MODEL.fsn FOLDER NETWORK QUERIES [MIN_ACCURACY [WORKERS]]
#   FOLDER   queries.npy, public.npy, public_labels.npy, as the example scripts write them
#   NETWORK  lan (382 MB/s, 0.3 ms), wan (44 MB/s, 40 ms), none (an unhindered veth pair) or BYTES_PER_SECOND,ROUND_TRIP_MS
#   WORKERS  connections side by side; without it the client chooses
set -eu
[ $# -ge 4 ] || { sed -n '2,9s/^# \?//p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "netns.sh: network namespaces need root: run it with sudo" >&2; exit 1; }
for tool in ip tc taskset openssl; do
  command -v $tool >/dev/null || { echo "netns.sh: '$tool' is missing: install iproute2, util-linux and openssl" >&2; exit 1; }
done
model=$(realpath "$1") folder=$(realpath "$2") network=$3 queries=$4 accuracy=${5:-0.92} workers=${6:-}
top=$(realpath "$(dirname "$0")/..")
build=$(realpath "${BUILD:-$top/build}")
python=$("$top/scripts/find_python.sh" numpy)
case $network in
  lan) rate=382000000 trip=0.3 ;;
  wan) rate=44000000 trip=40 ;;
  none) rate=0 trip=0 ;;
  *,*) rate=${network%,*} trip=${network#*,} ;;
  *) echo "netns.sh: network '$network': give lan, wan, none or BYTES_PER_SECOND,ROUND_TRIP_MS" >&2; exit 2 ;;
esac
delay=$("$python" -c "import sys; print(float(sys.argv[1]) / 2)" "$trip")
server_ns=fusion-server-$$ client_ns=fusion-client-$$ device=line0
work=$(mktemp -d)
server= link=
stop() { [ -z "$1" ] || { kill "$1" && wait "$1" || true; } 2>/dev/null; }
cleanup() {
  stop "$server"
  stop "$link"
  ip netns del $server_ns 2>/dev/null || true # takes its devices along
  ip netns del $client_ns 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

ip netns add $server_ns && ip netns add $client_ns || { echo "netns.sh: this system gives no network namespaces" >&2; exit 1; }
ip -n $server_ns link set lo up
ip -n $client_ns link set lo up

# Both ends get the rate and half of the round trip. The limit of the queue holds a second's packets.
use_netem() {
  ip link add $device netns $server_ns type veth peer name $device netns $client_ns
  [ "$rate" = 0 ] && { how="veth"; return 0; }
  for ns in $server_ns $client_ns; do
    tc -n $ns qdisc add dev $device root netem rate "$(("$rate" * 8))bit" delay "${delay}ms" limit 100000 2>/dev/null || {
      ip -n $server_ns link del $device
      return 1
    }
  done
  how="netem"
}
use_link() {
  [ -x "$build/bench/bench_link" ] || { echo "netns.sh: no netem here, and '$build/bench/bench_link' is not built: run make" >&2; exit 1; }
  [ -c /dev/net/tun ] || { echo "netns.sh: neither netem nor /dev/net/tun on this system" >&2; exit 1; }
  "$build/bench/bench_link" "$rate" "$delay" $device $server_ns $client_ns >"$work/link" &
  link=$!
  for _ in $(seq 50); do [ -s "$work/link" ] && break; sleep 0.1; done
  [ -s "$work/link" ] || { echo "netns.sh: the line did not come up" >&2; exit 1; }
  for ns in $server_ns $client_ns; do ip -n $ns link set $device mtu "$([ "${trip%.*}" -ge 5 ] && echo 65000 || echo 9000)"; done
  how="user space"
}
use_netem || use_link
ip -n $server_ns address add 10.77.0.1/24 dev $device
ip -n $client_ns address add 10.77.0.2/24 dev $device
ip -n $server_ns link set $device up
ip -n $client_ns link set $device up

cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
  -subj /CN=server -addext subjectAltName=IP:10.77.0.1 -addext extendedKeyUsage=serverAuth 2>/dev/null
"$python" -c "import numpy as n, sys; q = n.load(sys.argv[1]); n.save('q.npy', q[n.arange(int(sys.argv[2])) % len(q)])" \
  "$folder/queries.npy" "$queries"
taskset -c 0 ip netns exec $server_ns "$build/fusion" serve "$model" --listen 10.77.0.1:7700 --tls-cert cert.pem \
  --tls-key key.pem --ready-file port 2>server.log &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
[ -s port ] || { cat server.log >&2; exit 1; }
code=0
taskset -c 1 ip netns exec $client_ns "$build/fusion" query 10.77.0.1:7700 --tls-ca cert.pem --input q.npy \
  --public "$folder/public.npy" --labels "$folder/public_labels.npy" --min-accuracy "$accuracy" ${workers:+--workers "$workers"} \
  --raw -o answers.npy --report report.json --quiet >/dev/null 2>query.log || code=$?
[ $code -eq 0 ] || [ $code -eq 10 ] || { cat query.log >&2; exit 1; }
server_peak=$(awk '/VmHWM/ {print $2}' "/proc/$server/status")
"$build/fusion" run "$model" --input q.npy -o expected.npy >/dev/null
"$python" - "$network" "$rate" "$trip" "$how" "$server_peak" <<'P'
import json, sys
import numpy as np
network, rate, trip, how, server_peak = sys.argv[1:]
r = json.load(open("report.json"))
equal = r["verdict"] == "accept" and bool(np.array_equal(np.load("answers.npy"), np.load("expected.npy")))
r.update(network=network, bytes_per_second=float(rate), round_trip_ms=float(trip), line=how, equal=equal,
         server_peak=int(server_peak or 0) * 1024)
print(json.dumps(r))
sys.exit(r["verdict"] == "accept" and not equal)
P
