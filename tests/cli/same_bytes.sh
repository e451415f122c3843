# A network compiles to the same bytes on every processor tier, with any number of threads, and by the command in $OTHER.
/usr/bin/python3 - <<'P' || exit 0
import numpy as np, os
data = os.environ["SOURCE"] + "/tests/model/data/"
inputs = np.load(data + "expected.npz")
rng = np.random.default_rng(7)
for name in ("exported_residual", "exported_squeeze", "logistic_network"):
    x = inputs[name + ".in"]
    np.save(name + ".npy", (rng.standard_normal((96, *x.shape[1:])) * x.std()).astype(np.float32))
P
for name in exported_residual exported_squeeze logistic_network; do
  for tier in c avx2 avx512; do
    $FUSION --cpu-tier=$tier version >/dev/null 2>&1 || continue # this processor lacks it
    for threads in 1 2; do
      $FUSION --cpu-tier=$tier compile "$SOURCE/tests/model/data/$name.onnx" --calibrate $name.npy --threads $threads \
        -o $name-$tier-$threads.fsn >log 2>&1 || cat log
      cmp $name-c-1.fsn $name-$tier-$threads.fsn && echo same >>same-$name
    done
  done
  if [ -n "${OTHER-}" ]; then # a command for another architecture (make arm64)
    $OTHER compile "$SOURCE/tests/model/data/$name.onnx" --calibrate $name.npy -o $name-other.fsn >log 2>&1 || cat log
    cmp $name-c-1.fsn $name-other.fsn
  fi
  [ "$(wc -l <same-$name)" -ge 2 ] && echo "$name: same"
done
