# Under one salt a network compiles to the same bytes on every processor tier, with any number of threads, and by the
# command in $OTHER; without one two compilations differ in the salt and the model id alone.
/usr/bin/python3 - <<'P' || exit 0
import numpy as np, os
data = os.environ["SOURCE"] + "/tests/model/data/"
inputs = np.load(data + "expected.npz")
rng = np.random.default_rng(7)
for name in ("exported_residual", "exported_squeeze", "logistic_network"):
    x = inputs[name + ".in"]
    np.save(name + ".npy", (rng.standard_normal((96, *x.shape[1:])) * x.std()).astype(np.float32))
P
salt=$(printf '5a%.0s' $(seq 32))
for name in exported_residual exported_squeeze logistic_network; do
  for tier in c avx2 avx512; do
    $FUSION --cpu-tier=$tier version >/dev/null 2>&1 || continue # this processor lacks it
    for threads in 1 2; do
      $FUSION --cpu-tier=$tier compile "$SOURCE/tests/model/data/$name.onnx" --calibrate $name.npy --threads $threads \
        --salt $salt -o $name-$tier-$threads.fsn >log 2>&1 || cat log
      cmp $name-c-1.fsn $name-$tier-$threads.fsn && echo same >>same-$name
    done
  done
  if [ -n "${OTHER-}" ]; then # a command for another architecture (make arm64)
    for threads in 1 2; do
      $OTHER compile "$SOURCE/tests/model/data/$name.onnx" --calibrate $name.npy --threads $threads --salt $salt \
        -o $name-other.fsn >log 2>&1 || cat log
      cmp $name-c-1.fsn $name-other.fsn
    done
  fi
  [ "$(wc -l <same-$name)" -ge 2 ] && echo "$name: same"
done
onnx="$SOURCE/tests/model/data/logistic_network.onnx"
for i in 1 2; do $FUSION compile "$onnx" --calibrate logistic_network.npy -o drawn-$i.fsn >log 2>&1 || cat log; done
/usr/bin/python3 - <<'P'
import struct
a, b = (bytearray(open(f"drawn-{i}.fsn", "rb").read()) for i in (1, 2))
at = 20 + struct.unpack_from("<Q", a, 12)[0] + 8  # the private part begins with the salt, the manifest with version and id
parts = [(21, 53), (at, at + 32), (len(a) - 8, len(a))]
print("drawn:", *(a[i:j] != b[i:j] for i, j in parts), end=" ")
for i, j in parts:
    a[i:j] = b[i:j] = bytes(j - i)
print(a == b)
P
id() { $FUSION inspect "$1" --json | sed -n 's/.*"model_id": "\([0-9a-f]*\)".*/\1/p'; }
echo "$salt" >salt.txt
$FUSION compile "$onnx" --calibrate logistic_network.npy --salt salt.txt -o filed.fsn >log 2>&1 || cat log
[ "$(id filed.fsn)" = "$(id logistic_network-c-1.fsn)" ] && echo "salt from a file: same id of $(id filed.fsn | tr -d '\n' | wc -c) digits"
echo abc >short.txt
for salt in short.txt missing.txt; do
  $FUSION compile "$onnx" --calibrate logistic_network.npy --salt $salt -o bad.fsn 2>&1; echo "exit $?"
done
