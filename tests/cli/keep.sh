# Set-ups kept from job to job: the second job moves fewer bytes, a copy of a used file and another server mean a new set-up, and what cannot
# be kept is refused in one line.
seq 0 199 | awk '{ for (k = 1; k <= 5; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 211 - 105) / 105); print "" }' >pub.csv
head -4 pub.csv >q.csv
"$FUSION" compile "$SOURCE/tests/model/data/gemm.onnx" --calibrate pub.csv --bits 8,8 --samples 0 -o model.fsn >/dev/null
"$FUSION" run model.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 >lab.csv

start() {
  rm -f port
  "$FUSION" serve model.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 "$@" >/dev/null 2>&1 &
  server=$!
  for i in $(seq 200); do [ -s port ] || sleep 0.05; done
}
stop() {
  kill -INT $server
  wait $server
}
# The verdict, and whether base OTs were made: without them the client sends less than with them by two points of each.
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --json --workers 1 --input q.csv --public pub.csv --labels lab.csv "$@" >verdict.json
  code=$?
  [ $code = 0 ] || { echo "exit $code"; return; }
  bytes=$(tr ',' '\n' <verdict.json | sed -n 's/.*"bytes_sent": *\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n }')
  verdict=$(sed -n 's/.*"verdict": *"\([a-z]*\)".*/\1/p' verdict.json | head -1)
  [ -z "$fresh" ] && fresh=$bytes
  [ "$bytes" = "$fresh" ] && echo "$verdict, a new set-up" || echo "$verdict, $((fresh - bytes)) bytes less"
}

start
query --keep kept
stat -c '%a %s' kept
cp kept copy
query --keep kept
query --keep copy
query --keep kept
stop
start
query --keep kept
query --keep kept
stop
start --keep-for 0
query --keep other
[ -e other ] || echo "nothing is kept"
stop
echo text >note
start
query --keep note
cat note
query --keep kept --prepared x.state
query --keep nowhere/kept
query --keep q.csv
stop
"$FUSION" serve model.fsn --listen 127.0.0.1:0 --plaintext --keep-for 100000
echo "exit $?"
