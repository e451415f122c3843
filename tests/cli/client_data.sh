# The client's own data against the model: what does not fit is said before the job, and is not the server's fault.
try() { "$FUSION" "$@" | grep -v '^samples '; }
refused() { "$FUSION" "$@"; echo "exit $?"; }
seq 0 199 | awk '{ for (k = 1; k <= 5; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 23 - 11) / 11); print "" }' >pub.csv
awk -F, -v OFS=, 'NR <= 4 { if (NR == 3) $2 = 6; print }' pub.csv >far.csv
head -4 pub.csv >q.csv
awk -F, -v OFS=, '{ for (k = 1; k <= NF; k++) $k *= 255; print }' pub.csv >bytes.csv
awk -F, -v OFS=, '{ for (k = 1; k <= NF; k++) $k /= 255; print }' q.csv >small.csv
gemm=$SOURCE/tests/model/data/gemm.onnx
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 -o m.fsn >/dev/null
"$FUSION" run m.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 >lab.csv
awk '{ print $1 + 1 }' lab.csv >one.csv
awk '{ print $1 + 3 }' lab.csv >three.csv

echo "run"
refused run m.fsn --input far.csv
try run m.fsn --input far.csv --clip yes
refused run m.fsn --input bytes.csv
try run m.fsn --input small.csv
awk -F, -v OFS=, '{ for (k = 1; k <= NF; k++) $k *= 1.9; print }' pub.csv >double.csv
refused run m.fsn --input double.csv # within the range, but most rows go beyond what calibrated the model
try run m.fsn --input double.csv --clip yes
head -4 double.csv >few.csv
try run m.fsn --input few.csv # too few rows to judge by their number
refused run m.fsn --input pub.csv --labels three.csv
try run m.fsn --input pub.csv --labels one.csv
try run m.fsn --input pub.csv --labels lab.csv
awk '{ print "p" NR "," $0 }' pub.csv >named.csv

echo "compile"
sed 's/[0-9.-]\{1,\}/0/g' pub.csv >zero.csv
yes 1,2,3,4,5 | head -20 >same.csv
"$FUSION" compile "$gemm" --calibrate zero.csv --bits 8,8 --samples 0 -o bad.fsn >/dev/null
"$FUSION" compile "$gemm" --calibrate same.csv --bits 8,8 --samples 0 -o bad.fsn >/dev/null
refused compile "$gemm" --calibrate pub.csv --labels three.csv --bits 8,8 -o never.fsn

echo "query"
"$FUSION" serve m.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --grace-s 1 >/dev/null 2>served &
server=$!
for i in $(seq 200); do [ -s port ] || sleep 0.05; done
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet -o answers.csv -r report.json "$@" >verdict.txt
  echo "exit $?"
  sed -n '/^verdict/p' verdict.txt
  [ -e answers.csv ] && echo "answers were written"
  rm -f answers.csv verdict.txt
}
query --input q.csv --public pub.csv --labels three.csv
query --input q.csv --public pub.csv --labels one.csv # no label is too large: the verdict says what to look at
query --input far.csv --public pub.csv --labels lab.csv
query --input far.csv --public pub.csv --labels lab.csv --clip yes
grep '"clipped' report.json
query --input q.csv --public bytes.csv --labels lab.csv 2>said
sed 's/is line [0-9]*: feature [0-9] is [-0-9.]*,/is line N: feature N is N,/' said # drawn at random
query --input small.csv --public pub.csv --labels lab.csv
query --input q.csv --public named.csv --public-id-column 1 --labels lab.csv
query --input double.csv --public pub.csv --labels lab.csv
query --input q.csv --public pub.csv --labels lab.csv
kill $server
wait $server
grep -c 'done; ' served
