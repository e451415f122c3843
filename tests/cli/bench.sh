# What `fusion bench` measures and prints (its numbers are not compared), and what it refuses.
try() {
  "$FUSION" "$@"
  echo "exit $?"
}
try bench
try bench everything
try bench micro --threads 0
try bench micro extra
try bench model
try bench model absent.fsn
model=$SOURCE/tests/model/data/tiny_mlp.fsn
try bench model "$model" --network slow
try bench model "$model" --network 10M
try bench model "$model" --network 0,5
try bench model "$model" --samples 0
try bench model "$model" --engine nonsense
try bench engines
try bench engines "$model" --network slow
try bench engines "$model" --engine cheetah,nonsense

# Rates exist and are finite; a declared kernel names its ceiling, a protocol both parties' time and bytes.
"$FUSION" bench micro --cpu-tier c --only "AES" --runs 1 --seconds 0.001 --quiet --json >micro.json
"$FUSION" bench micro --cpu-tier c --only "layer, dense 128 to 128" --runs 1 --quiet --json >pair.json
"$FUSION" bench micro --cpu-tier c --only "AES, fixed" --threads 2 --runs 1 --seconds 0.001 --quiet --json >threads.json
"$FUSION" bench micro --cpu-tier c --only "TCCR" --runs 1 --seconds 0.001 | sed 's/  *[0-9.]* [kMG ] *hash.*/ RATE/'
"$FUSION" bench model "$model" --samples 9 --shard 4 --workers 2 --runs 2 --quiet --json >model.json
"$FUSION" bench model "$model" --samples 3 --runs 1 --quiet --network 100M,20 --json >shaped.json
"$FUSION" bench engines "$model" --samples 2 --network lan --quiet --json >engines.json
/usr/bin/python3 - <<'P'
import json
rows = {r["name"]: r for r in json.load(open("micro.json"))["rows"]}
for name, r in rows.items():
    print(r["group"], name, r["tier"], r["unit"], r["per_second"] > 0, r.get("bound"), sorted(r.get("demands", {})))
p = json.load(open("pair.json"))["rows"][0]
print(p["name"], p["server_cpu_ns"] > 0, p["client_cpu_ns"] > 0, 600 < p["bytes_to_server"] < p["bytes_to_client"] < 2000)
t = json.load(open("threads.json"))
print(t["threads"], [r["name"] for r in t["rows"]])
m, s = json.load(open("model.json")), json.load(open("shaped.json"))
print(m["samples"], m["shard"], m["workers"], m["wrong"], [g["name"] for g in m["stages"]])
print(sum(g["bytes_to_server"] for g in m["stages"]) <= m["bytes_to_server"], m["seconds"] > 0, m["peak_memory"] > 1 << 20)
print(s["network"], s["bytes_per_second"], s["round_trip_ms"], s["wrong"], s["seconds"] >= s["delays"] * 0.010)
rows = json.load(open("engines.json"))
print(all("refused" in r or (r["wrong"] == 0 and r["samples"] == 2 and r["seconds"] > 0) for r in rows), [r["network"] for r in rows if r["engine"] == "cheetah"])
P
