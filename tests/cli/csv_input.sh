# Tables as people export them: what is a header, which answer is whose, and what is refused.
cp "$SOURCE/tests/model/data/tiny_mlp.fsn" .
try() { "$FUSION" "$@" | grep -v '^\(samples\|traffic\) '; }
refused() { "$FUSION" "$@"; echo "exit $?"; }
printf 'patient,age,weight,"height, m"\nP-7,0.5,-0.25,0.1\n\n"Q, x",0.1,0.2,0.3\n' >ids.csv
printf 'age,weight,height\n0.5,-0.25,0.1\n\n0.1,0.2,0.3\n' >header.csv
printf '0.5 -0.25 0.1\n0.1 0.2 0.3\n' >blanks.csv
printf ',-0.25,0.1\n0.1,0.2,0.3\n' >drop.csv
printf '2020,2021,2022\n0.1,0.2,0.3\n' >years.csv

echo "run"
for line in "ids.csv --id-column patient" "ids.csv --id-column 1 --header yes" header.csv blanks.csv "years.csv --header yes"; do
  try run tiny_mlp.fsn --input $line -o answers.csv
  cut -d, -f1-3 answers.csv
done
try run tiny_mlp.fsn --input ids.csv --id-column patient --json | grep '"id"'
refused run tiny_mlp.fsn --input drop.csv
refused run tiny_mlp.fsn --input ids.csv
refused run tiny_mlp.fsn --input ids.csv --id-column name
refused run tiny_mlp.fsn --input header.csv --header no
refused run tiny_mlp.fsn --input header.csv --header maybe
refused run tiny_mlp.fsn --input header.npy --id-column 1

echo "compile"
refused compile "$SOURCE/tests/model/data/gemm.onnx" --calibrate drop.csv -o bad.fsn

echo "query"
yes '0.1,0.2,0.3' | head -120 >public.csv
label=$("$FUSION" run tiny_mlp.fsn --input public.csv -o public_answers.csv >/dev/null; sed -n 2p public_answers.csv | cut -d, -f2)
(echo label; yes "$label" | head -120) >labels.csv
"$FUSION" serve tiny_mlp.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 >/dev/null 2>&1 &
server=$!
for i in $(seq 200); do [ -s port ] || sleep 0.05; done
query() { "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --public public.csv --labels labels.csv "$@"; }
query --input ids.csv --id-column patient -o answers.csv | grep '^verdict\|^answer'
cut -d, -f1-3 answers.csv
query --input drop.csv -o dropped.csv
echo "exit $?"
test -e dropped.csv && echo "answers were written"
kill $server
wait $server
