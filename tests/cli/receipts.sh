# Receipts from end to end: a key, a server that signs, a client that asks, and what anybody can verify later.
seq 0 199 | awk '{ for (k = 1; k <= 5; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 211 - 105) / 105); print "" }' >pub.csv
head -4 pub.csv >q.csv
salt=$(printf '5a%.0s' $(seq 32))
"$FUSION" compile "$SOURCE/tests/model/data/gemm.onnx" --calibrate pub.csv --bits 8,8 --samples 0 --salt "$salt" -o model.fsn >/dev/null
"$FUSION" run model.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 >lab.csv
awk '{ print ($1 + 1) % 3 }' lab.csv >wrong.csv

"$FUSION" keygen -o receipt.key >key.txt
sed 's/[0-9a-f]\{64\}/KEY/' key.txt
key=$(sed -n 's/^public *//p' key.txt)
stat -c %a receipt.key
"$FUSION" keygen -o receipt.key
echo "exit $?"
"$FUSION" keygen --json -o other.key | sed 's/[0-9a-f]\{64\}/KEY/'
other=$(printf '11%.0s' $(seq 32))

start() {
  rm -f port
  "$FUSION" serve model.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 "$@" >/dev/null 2>&1 &
  server=$!
  for i in $(seq 200); do [ -s port ] || sleep 0.05; done
}
stop() {
  kill $server
  wait $server
}
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --input q.csv --public pub.csv "$@" >verdict.txt
  echo "exit $?"
  sed -n '/^verdict/p; /^receipt/p' verdict.txt
}
hide() { sed "s/$key/KEY/; s/^model id .*/model id   ID/; s/^job        [0-9a-f]*:/job        NUMBER:/; s/^manifest .*/manifest   HASH/; s/^signed .*/signed/"; }

start --receipt-key receipt.key
query --labels lab.csv --receipt job.receipt --receipt-key "$key" --workers 2 --shard-samples 20 -r report.json
sed -n 's/^  "receipt_samples": \(.*\),/\1/p' report.json
stat -c %a job.receipt
"$FUSION" verify-receipt job.receipt --receipt-key "$key" | hide | sed 's/[12] connections/CONNECTIONS/'
"$FUSION" verify-receipt job.receipt | sed -n 1p
[ "$("$FUSION" inspect model.fsn | sed -n 's/^model id *//p')" = "$("$FUSION" verify-receipt job.receipt | sed -n 's/^model id *//p')" ] && echo "the model's id"
"$FUSION" verify-receipt job.receipt --json >receipt.json
/usr/bin/python3 -c '
import json; a, b = json.load(open("receipt.json")), json.load(open("report.json"))
print(a["valid"], a["key_named"], a["samples"] == a["declared"] == b["samples"], a["certificate_hash"],
      all(a[k] == b[k] for k in ("model_id", "manifest_hash")))'
/usr/bin/python3 "$SOURCE/spec/receipts.py" job.receipt "$key" | sed 's/, [12] connections//'
"$FUSION" verify-receipt job.receipt --receipt-key "$other"
echo "exit $?"
/usr/bin/python3 "$SOURCE/spec/receipts.py" job.receipt "$other"
for at in 0 9 20 200 300; do
  /usr/bin/python3 -c "
d = bytearray(open('job.receipt', 'rb').read()); d[$at] ^= 4; open('bad.receipt', 'wb').write(d)"
  "$FUSION" verify-receipt bad.receipt
  echo "exit $?"
done
head -c 100 job.receipt >bad.receipt
"$FUSION" verify-receipt bad.receipt
echo "exit $?"
"$FUSION" verify-receipt missing.receipt
echo "exit $?"
echo "a rejected job"
query --labels wrong.csv --receipt rejected.receipt
"$FUSION" verify-receipt rejected.receipt --receipt-key "$key" | sed -n 1p
query --labels lab.csv --receipt other.receipt --receipt-key "$other" 2>said.txt
sed "s/$key/KEY/" said.txt
test -e other.receipt && echo "receipts were written"
query --labels lab.csv --receipt-key "$key"
query --labels lab.csv --receipt x.receipt --receipt-key "${key}0" 2>said.txt
sed "s/$key/KEY/" said.txt
query --labels lab.csv --receipt pub.csv
echo "audits"
head -60 pub.csv >some.csv
head -60 lab.csv >some_labels.csv
head -60 wrong.csv >some_wrong.csv
audit() {
  "$FUSION" audit "127.0.0.1:$(cat port)" --plaintext --quiet --public some.csv "$@" >verdict.txt
  echo "exit $?"
  sed -n '/^verdict/p; /^written/p; /^receipt/p' verdict.txt
}
audit --labels some_labels.csv --canaries c --receipt audit.receipt --receipt-key "$key" -r report.json
stat -c %a audit.receipt
"$FUSION" verify-receipt audit.receipt --receipt-key "$key" | hide | sed 's/[12] connections/CONNECTIONS/; s/[0-9]* shards/SHARDS/'
/usr/bin/python3 "$SOURCE/spec/receipts.py" audit.receipt "$key" | sed 's/, [12] connections//'
"$FUSION" verify-receipt audit.receipt --json >receipt.json
/usr/bin/python3 -c '
import json; a, b = json.load(open("receipt.json")), json.load(open("report.json"))
print(a["samples"] == a["declared"] == b["samples"] == b["receipt_samples"],
      all(a[k] == b[k] for k in ("model_id", "manifest_hash")))'
audit --labels some_wrong.csv --canaries none --receipt rejected.receipt
test -e none && echo "canaries were written"
"$FUSION" verify-receipt rejected.receipt --receipt-key "$key" | sed -n 1p
audit --labels some_labels.csv --canaries none --receipt other.receipt --receipt-key "$other" 2>said.txt
sed "s/$key/KEY/" said.txt
test -e other.receipt && echo "receipts were written"
audit --labels some_labels.csv --canaries none --receipt-key "$key"
audit --labels some_labels.csv --canaries none --receipt none
audit --labels some_labels.csv --canaries none --receipt some.csv
stop
echo "a server without a key"
start
audit --labels some_labels.csv --canaries none --receipt none.receipt
query --labels lab.csv --receipt none.receipt
query --labels lab.csv
stop
"$FUSION" serve model.fsn --listen 127.0.0.1:0 --plaintext --receipt-key lab.csv
echo "exit $?"
"$FUSION" serve model.fsn --listen 127.0.0.1:0 --plaintext --receipt-key missing.key
echo "exit $?"
