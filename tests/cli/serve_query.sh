# Command lines that are refused before anything is sent.
try() {
  "$FUSION" "$@"
  echo "exit $?"
}
printf '1,2\n3,4\n' >q.csv
yes '1,2' | head -200 >pub.csv
yes '1' | head -200 >lab.csv
yes '1' | head -20 >few.csv
job="--input q.csv --public pub.csv --labels lab.csv"

try serve model.fsn
try serve model.fsn --listen 127.0.0.1:0
try serve model.fsn --listen 127.0.0.1:0 --plaintext --tls-key k.pem
try serve model.fsn --listen 127.0.0.1:0 --plaintext --max-clients 0
try serve missing.fsn --listen 127.0.0.1:0 --plaintext
try query 127.0.0.1:1 --plaintext
try query 127.0.0.1:1 $job
try query 127.0.0.1:1 $job --plaintext --tls-ca ca.pem
try query 127.0.0.1:1 $job --tls-ca ca.pem --tls-cert c.pem
try query 127.0.0.1:1 $job --tls-ca missing.pem
try query 127.0.0.1 $job --plaintext
try query 127.0.0.1:1 $job --plaintext --raw --as-labels
try query 127.0.0.1:1 $job --plaintext --html report.txt
try query 127.0.0.1:1 $job --plaintext -o missing/answers.npy
try query 127.0.0.1:1 $job --plaintext --stack nonsense
try query 127.0.0.1:1 $job --plaintext --engine nonsense
cp "$SOURCE/tests/model/data/tiny_mlp.fsn" .
try serve tiny_mlp.fsn --listen 127.0.0.1:0 --plaintext --engine nonsense
try serve tiny_mlp.fsn --listen 127.0.0.1:0 --plaintext --stack nonsense
try query 127.0.0.1:1 --plaintext --input q.csv --public pub.csv --labels few.csv
try query 127.0.0.1:1 --plaintext --input missing.npy --public pub.csv --labels lab.csv
try query 127.0.0.1:1 --plaintext --input lab.csv --public pub.csv --labels lab.csv
try query 192.0.2.1:1 $job --plaintext
try query 127.0.0.1:1 $job --plaintext -o answers.npy
test -e answers.npy && echo "answers were written"; true
