# A job that is prepared before there are queries: the server stops and starts in between, both parts are used once and
# go, and what does not fit is refused with nothing used up.
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
  kill $server
  wait $server
}
prepare() {
  "$FUSION" prepare "127.0.0.1:$(cat port)" --plaintext "$@"
  echo "exit $?"
}
query() {
  "$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --engine delphi --input q.csv --public pub.csv --labels lab.csv "$@" >verdict.txt
  echo "exit $?"
  sed -n '/^verdict/p; /^job/p' verdict.txt
}
mkdir states

start --engine cheetah,delphi
prepare --samples 10 -o x.state
stop
start --engine cheetah,delphi --prepared-folder states --prepared-bytes 4K
prepare --samples 500 -o x.state
prepare --samples 10 --engine sci-ot -o x.state
prepare --samples 10
prepare --samples 10 -o nowhere/x.state
find . -name '*.state*' -o -path './states/?*' | wc -l
stop

start --engine cheetah,delphi --prepared-folder states
samples=$(query | sed -n 's/^job.*: \([0-9]*\) samples/\1/p')
prepare --samples "$samples" --shard-samples 50 -o job.state | sed "s/$samples/SAMPLES/"
stat -c %a job.state
prepare --samples 3 -o job.state
ls states | wc -l
stop
start --engine cheetah,delphi --prepared-folder states
"$FUSION" query "127.0.0.1:$(cat port)" --plaintext --prepared job.state --journal j --input q.csv --public pub.csv --labels lab.csv 2>&1 | head -1
query --prepared job.state --min-public 120 2>&1 | sed "s/$samples/SAMPLES/; s/has [0-9]*/has N/"
cp job.state copy.state
cp job.state damaged.state
printf X | dd of=damaged.state bs=1 seek=200 conv=notrunc status=none
query --prepared damaged.state
query --prepared job.state -o answers.csv | sed "s/$samples/SAMPLES/"
sed 1d answers.csv | cut -d, -f2 | paste -sd, >got.txt
head -4 lab.csv | paste -sd, | cmp - got.txt && echo "the right answers"
ls states
[ -e job.state ] || echo "job.state is gone"
query --prepared job.state
query --prepared copy.state
[ -e copy.state ] && echo "copy.state is not spent: the server said so first"

# The oblivious transfers alone.
rm -f answers.csv
prepare --samples "$samples" --engine cheetah -o c.state | sed "s/$samples/SAMPLES/"
cp c.state c.copy
"$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --prepared c.state --input q.csv --public pub.csv --labels lab.csv \
  -o answers.csv | sed -n '/^verdict/p'
sed 1d answers.csv | cut -d, -f2 | paste -sd, | cmp - got.txt && echo "the right answers"
ls states
[ -e c.state ] || echo "c.state is gone"
"$FUSION" query "127.0.0.1:$(cat port)" --plaintext --quiet --prepared c.copy --input q.csv --public pub.csv --labels lab.csv
echo "exit $?"
stop
