# Audits and jobs with canaries whose client is killed (SIGKILL) again and again: the same verdict in the end, files
# whole, and what joins the canaries joins once.
seq 0 399 | awk '{ for (k = 1; k <= 5; k++) printf("%s%.4f", k > 1 ? "," : "", (($1 * k * 7 + k * 3) % 401 - 200) / 200); print "" }' >pub.csv
printf '0.1,0.2,-0.3,0.4,0.1\n-0.2,0.15,0.35,-0.4,0.2\n' >q.csv
head -60 pub.csv >some.csv
gemm=$SOURCE/tests/model/data/gemm.onnx
"$FUSION" compile "$gemm" --calibrate pub.csv --bits 8,8 --samples 0 -o m.fsn >/dev/null
"$FUSION" run m.fsn --input pub.csv -o all.csv >/dev/null
sed 1d all.csv | cut -d, -f2 | head -60 >lab.csv
"$FUSION" run m.fsn --input q.csv -o right.csv >/dev/null
"$FUSION" serve m.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --grace-s 1 --quiet >/dev/null 2>&1 &
server=$!
for i in $(seq 200); do [ -s port ] || sleep 0.05; done
address=127.0.0.1:$(sed 's,.*:,,' port)
audit() { ${how:-} "$FUSION" audit "$address" --plaintext -q --shard-samples 20 -w 1 --public some.csv --labels lab.csv --canaries c --journal ja "$@"; }
query() { ${how:-} "$FUSION" query "$address" --plaintext -q --shard-samples 3 -w 1 --input q.csv --canaries c --add-canaries --journal jq --raw -o answers.csv "$@"; }
# Killed after so many hundredths of a second, a longer time each turn; a file that is there is whole.
killed() {
  what=$1 file=$2
  for turn in 1 3 6 10 15 21 28 36; do
    (how=exec; $what) >said 2>&1 &
    client=$!
    sleep "0.$(printf '%02d' $turn)"
    kill -9 $client 2>/dev/null
    wait $client 2>/dev/null
    [ ! -e "$file" ] || "$FUSION" query 127.0.0.1:1 --plaintext --input q.csv --canaries c 2>&1 | grep 'altered\|not a canary'
  done
}
killed audit c
[ -e ja ] || [ -e c ] || echo "nothing was kept"
[ -e c ] && [ ! -e ja ] || audit >said 2>&1 || cat said
sed -n 's/\(^verdict *accept\).*/\1/p' said
cp c before
ls -l c | cut -c1-10
killed query c
query >said 2>&1 || cat said
sed -n 's/\(^verdict *accept\).*/\1/p' said
cmp answers.csv right.csv && echo "right answers"
echo "$(($(wc -c <c) - $(wc -c <before))) bytes joined"
ls -A | grep '^c[.]\|^answers[.]csv[.]\|^j[aq]$'
kill $server
wait $server
exit 0
