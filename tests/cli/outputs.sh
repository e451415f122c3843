# Files that commands write: never over what they read, and never what the network does not have.
refused() { "$FUSION" "$@"; echo "exit $?"; }
models=$SOURCE/tests/model/data
seq 0 149 | awk '{ for (k = 1; k <= 6; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 23 - 11) / 11); print "" }' >x.csv
head -3 x.csv >q.csv
cut -d, -f1-5 x.csv >five.csv
cp "$models/log_softmax.onnx" log.onnx
cp "$models/softmax.onnx" soft.onnx
cp "$models/gemm.onnx" plain.onnx
ln -s plain.onnx link.fsn
ln plain.onnx hard.fsn

echo "compile"
for output in plain.onnx ./plain.onnx link.fsn hard.fsn five.csv; do
  refused compile plain.onnx --calibrate five.csv -o $output
done
refused compile plain.onnx:y --calibrate five.csv -o ./plain.onnx
cmp plain.onnx "$models/gemm.onnx" && echo "the network is untouched"
"$FUSION" compile plain.onnx --calibrate five.csv --bits 8,8 --samples 0 -o plain.fsn >/dev/null
"$FUSION" compile log.onnx --calibrate x.csv --bits 8,8 --samples 0 -o log.fsn >/dev/null
"$FUSION" compile soft.onnx --calibrate x.csv --bits 8,8 --samples 0 -o soft.fsn >/dev/null
"$FUSION" inspect log.fsn -n 0 | grep '^answer' | sed 's/unit [^,]*,//'

echo "run"
refused run plain.fsn --input five.csv --probabilities -o p.csv
refused run plain.fsn --input five.csv -o ./five.csv
refused run plain.fsn --input five.csv -o absent/p.csv
refused run plain.fsn --input five.csv -o plain.fsn
"$FUSION" run plain.fsn --input five.csv -o full.csv >/dev/full
echo "exit $?"
ls full.csv 2>/dev/null || echo "no answers"
"$FUSION" run log.fsn --input q.csv --probabilities -o log.csv >/dev/null
"$FUSION" run log.fsn --input q.csv --probabilities -o log.npy >/dev/null
"$FUSION" run soft.fsn --input q.csv --probabilities -o soft.csv >/dev/null
# The logarithm of one is the other, and each row's probabilities add up to 1.
for file in log soft; do
  sed 1d $file.csv | awk -F, -v log_is=$([ $file = log ] && echo 1 || echo 0) \
    '{ sum = 0; for (k = 3; k <= NF; k++) sum += log_is ? exp($k) : $k; print (sum > 0.999999 && sum < 1.000001) ? "adds up" : sum }'
done

echo "query"
yes 0 | head -150 >labels.csv
"$FUSION" serve plain.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 >/dev/null 2>&1 &
server=$!
for i in $(seq 200); do [ -s port ] || sleep 0.05; done
query() { refused query "127.0.0.1:$(cat port)" --plaintext --quiet --input five.csv --public five.csv --labels labels.csv "$@"; }
query --probabilities -o p.csv
query -o labels.csv
query -o a.csv --report ./five.csv
query -o a.csv --report r.json --html r.json.html --journal a.csv
query --report absent/r.json
test -e p.csv && echo "answers were written"
kill $server
wait $server

echo "written together"
yes 0 | head -150 >wrong.csv
"$FUSION" run plain.fsn --input five.csv -o right.csv >/dev/null
sed 1d right.csv | cut -d, -f2 >right_labels.csv
modes() { for f in "$@"; do [ -e "$f" ] && stat -c '%a %n' "$f"; done; }
rm -f port
"$FUSION" serve plain.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 >/dev/null 2>&1 &
server=$!
for i in $(seq 200); do [ -s port ] || sleep 0.05; done
job() { "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --input five.csv --public five.csv --labels right_labels.csv "$@"; }
job -o a.csv --report r.json --html r.html | grep '^written'
modes a.csv r.json r.html
chmod 644 a.csv
chmod 640 r.json
job -o a.csv --report r.json | grep '^written'
modes a.csv r.json
# A report that cannot be written, found late, or a full standard output: no answers either.
job -o b.csv --report /dev/full >/dev/null
echo "exit $?"
job -o b.csv --report b.json >/dev/full
echo "exit $?"
job -o b.csv >&-
echo "exit $?"
modes b.csv b.json
ls | grep part
# A reject writes its report, and says that the answers are old.
cp a.csv old.csv
yes 3 | head -150 >right_labels.csv
job -o a.csv --report r.json | grep '^verdict\|^written'
cmp a.csv old.csv && grep -c reject r.json
kill $server
wait $server
