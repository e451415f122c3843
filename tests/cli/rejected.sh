# A rejected job with a journal: the same command tells of it and asks no server, until it is told to begin again.
cp "$SOURCE/tests/model/data/tiny_mlp.fsn" .
yes '1,2,3' | head -200 >public.csv
head -2 public.csv >q.csv
yes '1' | head -200 >right.csv
yes '0' | head -200 >wrong.csv
start() {
  $FUSION serve tiny_mlp.fsn --listen "127.0.0.1:$1" --plaintext --ready-file port --quiet --grace-s 1 >/dev/null 2>&1 &
  server=$!
  tries=0
  until [ -s port ] || [ $tries = 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
}
start 0
address=127.0.0.1:$(sed "s,.*:,," port)
# The verdict's line alone, and the time of a reject as TIME.
try() {
  labels=$1
  shift
  status=0
  $FUSION query "$address" --plaintext --input q.csv --public public.csv --labels "$labels" --quiet "$@" >said 2>&1 || status=$?
  grep -v '^\(job\|security\|accuracy\|traffic\) ' said | sed 's/at 20[-0-9T:]*Z/at TIME/'
  echo "exit $status"
}
try wrong.csv --again
try wrong.csv --journal j
try wrong.csv --journal j
try right.csv --journal j --report r.json -o answers.csv
ls -l j | cut -c1-10
for file in r.json answers.csv; do test -e $file && echo "$file was written"; done
kill $server
wait $server
try right.csv --journal j --again --connect-timeout-s 1 | sed 's/127.*/.../'
try right.csv --journal j
start "${address#*:}"
try right.csv --journal j --again -o answers.csv
test -e j && echo "the journal is still there"
kill $server
wait $server
