# What the network's file calls its classes: in what compile, run, inspect and query read and answer.
try() { "$FUSION" "$@" | grep -v '^samples '; }
refused() { "$FUSION" "$@"; echo "exit $?"; }
faults=$SOURCE/tests/model/faults
seq 0 199 | awk '{ for (k = 1; k <= 4; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 23 - 11) / 11); print "" }' >pub.csv
head -4 pub.csv >q.csv

echo "numbers"
"$FUSION" compile "$faults/labels_312.onnx" --calibrate pub.csv --bits 10,10 --samples 0 -o n.fsn >/dev/null
"$FUSION" inspect n.fsn | grep '^labels'
"$FUSION" inspect n.fsn --json | tr -d ' \n' | grep -o '"labels":[^]]*]' && echo
"$FUSION" run n.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 >lab.csv
sort lab.csv | uniq -c | sed 's/^ *//'
awk '{ print $1 - 1 }' lab.csv >zero.csv
printf 'first\nsecond\nthird\n' >names.txt
head -5 all.csv
try run n.fsn --input pub.csv --labels lab.csv --float "$faults/labels_312.onnx" | sed 's/ (float.*//'
refused run n.fsn --input pub.csv --labels zero.csv
try run n.fsn --input q.csv --classes names.txt
"$FUSION" compile "$faults/labels_312.onnx" --calibrate pub.csv --labels lab.csv --bits 10,10 --samples 0 -o n.fsn | grep '^accuracy'

echo "names"
"$FUSION" compile "$faults/labels_text.onnx" --calibrate pub.csv --bits 10,10 --samples 0 -o t.fsn >/dev/null
"$FUSION" inspect t.fsn | grep '^labels'
try run t.fsn --input q.csv -o t.csv
cat t.csv | cut -d, -f1-5
"$FUSION" run t.fsn --input pub.csv --json | tr -d '\n' | grep -o '"class": "[^"]*"' | sed 's/"class": "//;s/"$//' >text.txt
sort text.txt | uniq -c | sed 's/^ *//'
try run t.fsn --input pub.csv --labels text.txt | grep '^accuracy'
sed '7s/.*/Setosa/' text.txt >odd.txt
refused run t.fsn --input pub.csv --labels odd.txt

echo "query"
serve() {
  rm -f port
  "$FUSION" serve "$1" --listen 127.0.0.1:0 --plaintext --ready-file port --grace-s 1 >/dev/null 2>&1 &
  server=$!
  for i in $(seq 200); do [ -s port ] || sleep 0.05; done
}
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet -o answers.csv "$@" | sed -n '/^verdict/p;/^answer/p'
  [ -e answers.csv ] && cat answers.csv
  rm -f answers.csv
}
serve n.fsn
query --input q.csv --public pub.csv --labels lab.csv
query --input q.csv --public pub.csv --labels zero.csv
kill $server
wait $server
serve t.fsn
query --input q.csv --public pub.csv --labels text.txt --as-labels
query --input q.csv --public pub.csv --labels odd.txt
kill $server
wait $server
