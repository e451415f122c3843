$FUSION plan --queries 512
$FUSION plan -q 8 -a 0.95
$FUSION plan -q 8 -a 0.95 --public-copies 2
$FUSION plan -q 8 -a 0.95 --public-copies 3 --json
$FUSION plan -q 128 --promise 0.98 --reject-below 0.90 --error-rate 0.01
cp "$SOURCE/tests/model/data/tiny_mlp.fsn" .
for engine in "" "--engine cheetah" "--engine cheetah-wan" "--engine nonsense" "--stack cheetah"; do
  $FUSION plan -q 20000 --model tiny_mlp.fsn $engine >printed.txt 2>&1; echo "exit $?"; tail -1 printed.txt
done
$FUSION plan -q 20000 --model tiny_mlp.fsn --public-copies 64 | tail -1
$FUSION plan -q 8 --sensitive 0.1 | tail -4
$FUSION plan -q 8 --sensitive 2; echo "exit $?"
$FUSION plan -q 8 --engine cheetah; echo "exit $?"
$FUSION plan -q 1 --canaries
for queries in 1 2 4 8 16 32 128 512; do
  $FUSION plan -q $queries --canaries | sed -n '/the plan/s/ *<- the plan//p'
done
$FUSION plan -q 8 --canaries --min-canaries 50 --min-public 100 --sensitive 0.1
$FUSION plan -q 8 --min-canaries 50; echo "exit $?"
for bad in "" "-q 0" "-q 1.5" "-q x" "-q 5 --min-accuracy 1.2" "-q 5 --security 101" "-q 1 -a 0.01" "-q 5 --public-copies 0" "-q 5 --public-copies 65" "-q 5 --promise 0.9" \
    "-q 5 --promise 0.9 --reject-below 0.95" "-q 5 -a 0.9 --promise 0.9 --reject-below 0.8" "-q 5 -q 6" "-q" "-q 5 extra"; do
  $FUSION plan $bad
  echo "exit $?"
done
