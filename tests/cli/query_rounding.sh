# What a query compares, from end to end: exactly, unless told otherwise; and which models it refuses.
seq 0 199 | awk '{ for (k = 1; k <= 5; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 23 - 11) / 11); print "" }' >pub.csv
head -4 pub.csv >q.csv
gemm=$SOURCE/tests/model/data/gemm.onnx
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 -o exact.fsn >/dev/null
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 --rounding fast -o fast.fsn >/dev/null
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 --rounding fast --output label -o label.fsn >/dev/null
"$FUSION" run exact.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 >lab.csv

start() {
  rm -f port
  "$FUSION" serve "$1" --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 >/dev/null 2>&1 &
  server=$!
  for i in $(seq 200); do [ -s port ] || sleep 0.05; done
}
stop() {
  kill $server
  wait $server
}
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --input q.csv --public pub.csv --labels lab.csv \
    -o answers.csv -r report.json "$@" >verdict.txt
  echo "exit $?"
  sed -n '/^verdict/p; /^compared/p; /^security/p' verdict.txt
  [ -e answers.csv ] && head -1 answers.csv
  rm -f answers.csv
}
named() { sed -n 's/^  "'"$1"'": "\(.*\)",*$/\1/p' report.json; }

echo "an exact model"
start exact.fsn
query
named compared
for copies in 2 3; do
  query --public-copies $copies
  sed -n '/^job/p' verdict.txt
  sed -n '/public_copies\|disagreeing_public/p' report.json
done
query --public-copies 0
hash=$(named manifest_hash)
query --manifest "$hash"
query --manifest "$(echo "$hash" | tr a-f A-F)" --accept-fast
query --tolerance 5
query --manifest "$(printf %063d 1)"
query --manifest "$(printf %063dx 1)"
query --manifest "$(printf %065d 1)"
id=$(named model_id)
query --model-id "$id"
[ "$id" = "$($FUSION inspect exact.fsn --json | sed -n 's/.*"model_id": "\([0-9a-f]*\)".*/\1/p')" ] && echo "the model's id"
query --model-id "$(printf %064d 1)" 2>changed
sed "s/$id/ID/" changed
query --model-id "$(printf %063d 1)"
query --accept-fast --raw
query --accept-fast --probabilities
query --tolerance 0
stop

echo "fast rounding"
start fast.fsn
query
query --tolerance 5
query --accept-fast
named compared
query --accept-fast --tolerance 5
named compared
query --manifest "$hash" --accept-fast 2>refused
cut -c1-80 refused
stop

echo "fast rounding, labels"
start label.fsn
query
query --accept-fast
query --accept-fast --tolerance 5
stop
