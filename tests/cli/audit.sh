# Audit a model, then ask it with canaries; what differs from the audit, and files that are no canaries.
seq 0 399 | awk '{ for (k = 1; k <= 5; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 401 - 200) / 200); print "" }' >pub.csv
printf '0.1,0.2,-0.3,0.4,0.1\n-0.2,0.15,0.35,-0.4,0.2\n0.3,-0.3,0.1,0.05,-0.1\n' >q.csv
head -300 pub.csv >some.csv
gemm=$SOURCE/tests/model/data/gemm.onnx
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 -o m.fsn >/dev/null
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 7,7 --samples 0 -o other.fsn >/dev/null
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 --rounding fast -o fast.fsn >/dev/null
"$FUSION" run m.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 | head -300 >lab.csv
awk 'NR % 30 == 0 { $1 = ($1 + 1) % 3 } { print }' lab.csv >some_wrong.csv
yes 0 | head -300 >wrong.csv
start() {
  rm -f port
  "$FUSION" serve "$1" --listen 127.0.0.1:0 --plaintext --ready-file port --grace-s 1 >/dev/null 2>&1 &
  server=$!
  for i in $(seq 200); do [ -s port ] || sleep 0.05; done
}
stop() {
  kill $server
  wait $server
}
# What was said, without figures of time and traffic, and dates as DATE.
said() { grep -v '^\(traffic\|class\|answer\) \|higher bounds' said | sed 's/20[0-9][0-9]-[-0-9TZ:]*/DATE/g; s/hash [0-9a-f]*/hash HASH/; s/id [0-9a-f]\{64\}, was [0-9a-f]*/id ID, was ID/'; }
audit() {
  "$FUSION" audit "127.0.0.1:$(cat port)" --plaintext --quiet --public some.csv "$@" >said 2>&1
  code=$?
  said
  echo "exit $code"
}
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --input q.csv "$@" >said 2>&1
  code=$?
  said
  echo "exit $code"
}

start m.fsn
audit --labels wrong.csv --canaries c
[ -e c ] && echo "a rejected audit wrote canaries"
audit --labels some_wrong.csv --canaries c --report r.json --html r.html
ls -l c | cut -c1-10
grep -c '"label"' r.json
grep -o '"this_job": [a-z]*' r.json
grep -c 'Classes in the audit' r.html
query --canaries c -o answers.csv --report r.json --html r.html
[ -s answers.csv ] && echo "answers were written"
grep -o '"accuracy": [0-9a-z.]*\|"this_job": [a-z]*' r.json
grep -c 'In the audit of' r.html
query --canaries c --public some.csv --labels lab.csv
query --canaries c --min-canaries 301
cp c before
for time in first second; do
  query --canaries c --add-canaries >/dev/null
  echo "the $time time: $(($(wc -c <c) - $(wc -c <before))) bytes longer than at first"
done
query --canaries c --min-canaries 303 | tail -1

# An answer that is not what the file says: by one unit, in every row, the hash made right again.
echo "changed"
python3 - <<'PY'
import hashlib
d = bytearray(open("before", "rb").read()[:-32])
width = d[13]
inputs = 5 * d[12]
at = 12 + 2 + 96
at += 2 + int.from_bytes(d[at:at + 2], "little") + 8 + 16
count = int.from_bytes(d[at:at + 4], "little")
at += 4 + 20 * count
rows, size, answers = (int.from_bytes(d[at + o:at + o + n], "little") for o, n in ((0, 8), (8, 4), (12, 4)))
at += 16 + 4 * rows
for row in range(rows):
    d[at + row * (inputs + answers * width) + inputs] ^= 1
open("changed", "wb").write(bytes(d) + hashlib.blake2b(bytes(d), digest_size=32).digest())
PY
query --canaries changed -o never.csv --add-canaries
[ -e never.csv ] && echo "answers were written"

# Files that are no canaries.
echo "damaged"
head -c 1000 before >short
query --canaries short
sed 's/FUSIONC/FUSIONX/' before >foreign
query --canaries foreign
query --canaries missing
stop

echo "other models"
start other.fsn
query --canaries before
stop
start fast.fsn
query --canaries before
audit --labels lab.csv --canaries f
query --canaries before --accept-fast
stop

echo "lines"
: >port
query --public some.csv
query --add-canaries --public some.csv --labels lab.csv
query
audit --labels lab.csv --canaries some.csv
