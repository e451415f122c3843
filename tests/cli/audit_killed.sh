# Audits and jobs with canaries whose client is killed (SIGKILL) at random moments, again and again: the same verdict in the
# end, files whole at every moment, and what joins the canaries joins once. FUSION_TEST_SEED repeats the moments of a failure;
# FUSION_KILL_ROUNDS asks for so many rounds of each kind however long they take.
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
seed=${FUSION_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=${FUSION_KILL_ROUNDS:-40}
audit() { ${how:-} "$FUSION" audit "$address" --plaintext -q --shard-samples 20 -w 1 --public some.csv --labels lab.csv --canaries c --journal ja -r ra.json "$@"; }
query() { ${how:-} "$FUSION" query "$address" --plaintext -q --shard-samples 3 -w 1 --input q.csv --canaries c --add-canaries --journal jq --raw -o answers.csv -r rq.json "$@"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
wrong() {
  echo "$* (FUSION_TEST_SEED=$seed)"
  cat said
}
# Whatever is there is whole.
check_files() {
  if [ -e c ]; then "$FUSION" query 127.0.0.1:1 --plaintext --input q.csv --canaries c 2>&1 | grep 'altered\|not a canary'; fi
  for report in ra.json rq.json; do
    [ ! -e $report ] || [ "$(tail -1 $report)" = "}" ] || wrong "$report is cut short"
  done
  [ ! -e answers.csv ] || cmp answers.csv right.csv || wrong "other answers"
}
# Runs that are killed at a moment between none and the time of one and a fifth that nothing kills; one that comes to its
# end must accept, and the next begins anew.
killed() {
  what=$1 began=$(now_ms) kills=0
  $what >said 2>&1 || wrong "$what: exit $?"
  whole=$(($(now_ms) - began))
  began=$(now_ms)
  for moment in $(awk -v seed="$seed" -v n="$rounds" -v most="$whole" 'BEGIN { srand(seed); for (; n > 0; n--) printf "%.4f\n", rand() * most * 0.0012 }'); do
    (how=exec; $what) >said 2>&1 &
    client=$!
    sleep "$moment"
    kill -9 $client 2>/dev/null
    wait $client 2>/dev/null
    code=$?
    case $code in
    137) kills=$((kills + 1)) ;;
    0) grep -q '^verdict *accept' said || wrong "$what: no verdict" ;;
    *) wrong "$what: exit $code after $moment s" ;;
    esac
    check_files
    [ -n "$FUSION_KILL_ROUNDS" ] || [ $(($(now_ms) - began)) -lt 7000 ] || break
  done
  [ $kills -gt 0 ] && echo "$what: killed, and whole"
}
killed audit
audit >said 2>&1 || wrong "the last audit: exit $?"
sed -n 's/\(^verdict *accept\).*/\1/p' said
cp c before
ls -l c | cut -c1-10
killed query
query >said 2>&1 || wrong "the last query: exit $?"
sed -n 's/\(^verdict *accept\).*/\1/p' said
cmp answers.csv right.csv && echo "right answers"
echo "$(($(wc -c <c) - $(wc -c <before))) bytes joined"
ls -A | grep '^c[.]\|^answers[.]csv[.]\|^r[aq][.]json[.]\|^j[aq]$'
kill $server
wait $server
exit 0
