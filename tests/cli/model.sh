# A hand-made network through compile, inspect and run: what they print, and how they refuse.
/usr/bin/python3 - <<'P' || exit 0
import numpy as np, onnx
from onnx import helper as h, numpy_helper as n
w1 = np.array([[1, -1, 0.5], [0.25, 2, -1], [-1, 0, 1], [0.5, 0.5, 0.5]], np.float32)
w2 = np.array([[1, -1, 0.5, 0], [0, 1, -0.5, 1]], np.float32)
graph = h.make_graph(
    [h.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1, name="first"), h.make_node("Relu", ["h"], ["r"], name="relu"),
     h.make_node("Gemm", ["r", "w2", "b2"], ["y"], transB=1, name="second")],
    "tiny", [h.make_tensor_value_info("x", 1, ["n", 3])], [h.make_tensor_value_info("y", 1, ["n", 2])],
    [n.from_array(w1, "w1"), n.from_array(np.full(4, 0.1, np.float32), "b1"), n.from_array(w2, "w2"),
     n.from_array(np.zeros(2, np.float32), "b2")])
onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), "tiny.onnx")
x = (np.arange(60).reshape(20, 3) * 37 % 23 - 11).astype(np.float32) / 11
np.save("x.npy", x)
y = np.maximum(x @ w1.T + 0.1, 0) @ w2.T
np.save("labels.npy", y.argmax(1))
np.save("short.npy", np.arange(3))
P
$FUSION compile tiny.onnx --calibrate x.npy --labels labels.npy --bits 8,8 --samples 0 -o tiny.fsn | sed 's/ in [0-9.]* *m*s$//'
$FUSION compile tiny.onnx --calibrate x.npy --bits 8,8 --samples 0 --sensitivity -o tiny.fsn | sed '1,/^$/d'
$FUSION inspect tiny.fsn -n 0 | sed "s/^\(model id *\)[0-9a-f]\{64\}$/\1ID/"
$FUSION run tiny.fsn --input x.npy --labels labels.npy --float tiny.onnx -o answers.npy --real | grep -v ^samples | sed 's/ (float: .*//'
$FUSION inspect tiny.fsn --json >inspect.json && /usr/bin/python3 -c '
import json; d = json.load(open("inspect.json"))
print(d["input"], d["output"], len(d["layers"]), d["prediction"]["samples"], sorted(d["layers"][1]))'
$FUSION compile tiny.onnx --calibrate x.npy --labels labels.npy --rounding fast --network wan --max-memory 64M --json -o auto.fsn >auto.json && /usr/bin/python3 -c '
import json; d = json.load(open("auto.json")); p = d["prediction"]
layers = [s["name"] for s in d["sensitivity"] if s["weight_error"] > 0]
errors = [s["step"] for s in d["sensitivity"] if s["error"] > 0]
print(d["fixed_accuracy"], d["expected_loss"] <= 0.002, d["overflow"] <= 0.001, d["tolerance"] > 0, layers, errors)
print(p["network"], p["seconds"] > p["rounds"] * 0.02, max(p["server_memory"], p["client_memory"]) <= 64 << 20)'
$FUSION compile tiny.onnx --calibrate x.npy --engine cheetah-wan -n 100000 --json -o wan.fsn >wan.json
for engine in cheetah cheetah-wan; do $FUSION inspect wan.fsn -n 100000 --engine $engine --json >$engine.json; done
/usr/bin/python3 -c '
import json; p = [json.load(open(f + ".json"))["prediction"] for f in ("cheetah", "cheetah-wan", "wan")]
moved = [q["bytes_to_server"] + q["bytes_to_client"] for q in p]
print("engine", moved[1] < moved[0], p[1] == p[2])'
for command in "compile tiny.onnx --calibrate x.npy -o bad.fsn" "inspect tiny.fsn"; do
  for option in "--engine nonsense" "--engine nonsense --samples 0" "--stack cheetah"; do
    $FUSION $command $option; echo "exit $?"
  done
done
$FUSION compile tiny.onnx --calibrate x.npy --network 10M -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --overflow 0.5 -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --bits 8,8 --output label --input-scale 2 --mean 1,2,3 --std 1,1,2 -o label.fsn >/dev/null
$FUSION inspect label.fsn -n 0 | sed -n 1,3p
# Limits that no widths keep: an error and no model, or the nearest one.
$FUSION compile tiny.onnx --calibrate x.npy --max-error 0 -o bad.fsn 2>&1 | sed 's/have [^;]*;/have ...;/'; ls bad.fsn
$FUSION compile tiny.onnx --calibrate x.npy --max-error 0 -o bad.fsn 2>/dev/null; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --max-error 0 --best-effort -o nearest.fsn >/dev/null; echo "exit $?"
# A table: one feature never changes; one ranges otherwise, as its weights know.
/usr/bin/python3 -c '
import numpy as np, onnx
from onnx import numpy_helper as n
m, x = onnx.load("tiny.onnx"), np.load("x.npy")
w = n.to_array(m.graph.initializer[0]) * np.array([1, 1, 1e4], np.float32)
m.graph.initializer[0].CopyFrom(n.from_array(w, "w1"))
onnx.save(m, "table.onnx"); np.save("table.npy", x * [1, 1, 1e-4]); x[:, 1] = 3; np.save("constant.npy", x)'
$FUSION compile tiny.onnx --calibrate constant.npy --bits 8,8 -o constant.fsn >/dev/null
for option in "" --single-input-scale; do
  $FUSION compile table.onnx --calibrate table.npy --bits 8,8 $option -o table.fsn >/dev/null
  $FUSION inspect table.fsn -n 0 | grep "^input data"
  $FUSION run table.fsn --input table.npy --float table.onnx | grep ^agreement | sed 's/ (float: .*//'
done
$FUSION compile tiny.onnx --calibrate x.npy --output top-k:3 -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --output top-k:0 -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --output label --defence label -o bad.fsn; echo "exit $?"
for mode in reverse-sigmoid,1,1 reverse-sigmoid,0.5 reverse-sigmoid,nan,1 round,0 round,10 top-0; do
  $FUSION compile tiny.onnx --calibrate x.npy --bits 8,8 --defence $mode -o bad.fsn; echo "exit $?"
done
for mode in top-2 round,1 reverse-sigmoid reverse-sigmoid,0.5,1; do
  $FUSION compile tiny.onnx --calibrate x.npy --bits 8,12 --defence $mode -o mode.fsn | grep ^network
  $FUSION inspect mode.fsn -n 0 | grep ^answer
  $FUSION run mode.fsn --input x.npy --float tiny.onnx | grep ^agreement | sed 's/ (float: .*//'
done
$FUSION compile tiny.onnx --calibrate x.npy --bits 8 -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --mean 1,2 -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --mean 1,2,x -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --std 0 -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate labels.npy -o bad.fsn; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy --labels short.npy -o bad.fsn; echo "exit $?"
$FUSION compile x.npy --calibrate x.npy -o bad.fsn >/dev/null 2>&1; echo "exit $?"
$FUSION compile tiny.onnx --calibrate x.npy -o absent/bad.fsn; echo "exit $?"
$FUSION run tiny.fsn --input short.npy; echo "exit $?"
$FUSION run tiny.fsn --input x.npy --labels short.npy; echo "exit $?"
$FUSION run tiny.onnx --input x.npy; echo "exit $?"
head -c 200 tiny.fsn >cut.fsn
$FUSION inspect cut.fsn; echo "exit $?"
$FUSION inspect absent.fsn; echo "exit $?"
ls *.fsn
