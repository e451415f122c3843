$FUSION nonsense
echo "exit $?"
$FUSION help nonsense
echo "exit $?"
$FUSION --cpu-tier=fast version
echo "exit $?"
$FUSION version --cpu-tier=c
echo "exit $?"
$FUSION version --wrong
echo "exit $?"
$FUSION version -w
echo "exit $?"
for command in $($FUSION help | sed -n 's/^  \([a-z-]*\) .*/\1/p'); do
  # Every command explains itself, within 100 columns.
  $FUSION $command --help >text || echo "$command --help: exit $?"
  grep -q '^usage: fusion' text || echo "$command --help shows no usage"
  case $command in
    help | version) ;;
    *) [ -f "$SOURCE/docs/man/fusion-$command.1" ] || echo "$command has no man page" ;;
  esac
  awk -v c="$command" 'length > 100 {print c " --help: a line of " length}' text
done
# Answers go to known kinds of files.
"$FUSION" run model.fsn --input x.npy -o answers.txt
echo "exit $?"
"$FUSION" query 127.0.0.1:1 --plaintext --input q.csv --public p.csv --labels l.csv -o answers.parquet
echo "exit $?"
