# The speeds of this machine: measured at first use, kept, measured again when they are not of this machine or damaged.
unset FUSION_CALIBRATION
export XDG_CACHE_HOME="$PWD/cache"
model=$SOURCE/tests/model/data/tiny_mlp.fsn
mkdir cache
predict() {
  "$FUSION" inspect "$model" --samples 10 --json "$@" 2>&1 >predicted.json | sed "s|$PWD|HERE|; s/speeds-[a-z0-9]*/speeds-TIER/"
  /usr/bin/python3 -c '
import json; p = json.load(open("predicted.json"))["prediction"]
print("seconds", p["server_seconds"] > 0, p["client_seconds"] > 0)'
}
echo "not wanted"; predict --no-calibration; FUSION_CALIBRATION=no predict; ls cache
echo "first"; predict; kept=$(echo cache/fusion/speeds-*); head -1 $kept; wc -l <$kept
head -5 $kept >part5; echo "kept"; predict
echo "damaged"; echo nonsense >$kept; predict
cp part5 $kept; predict
sed 's/^set-up .*/set-up 1e30/' $kept >part; mv part $kept; predict
echo "of another machine"; sed '2s/.*/0.0.9 c Z80/; s/^set-up .*/set-up 0.5/' $kept >other; cp other $kept; predict
echo "of another release"; sed '2s/.*/0.0.9 c Z80/; s/^base-correlation/of-old/' $kept >part; mv part $kept; predict
echo "of the server"; predict --server-speeds other
/usr/bin/python3 -c 'import json; print(json.load(open("predicted.json"))["prediction"]["server_seconds"] >= 0.25)  # of a set-up of 0.5 s
'
predict --no-calibration --server-speeds other
"$FUSION" inspect "$model" --server-speeds $SOURCE/README.md 2>&1 | sed "s|$SOURCE|SOURCE|"
"$FUSION" inspect "$model" --server-speeds absent >out; echo "exit $?"
echo "by hand"; "$FUSION" bench calibrate | sed "s|$PWD|HERE|; s/speeds-[a-z0-9]*/speeds-TIER/; s/ *[0-9.e+-]* ns$/ NS/"
"$FUSION" bench calibrate --json | /usr/bin/python3 -c '
import json, sys; d = json.load(sys.stdin); print(sorted(d), min(d["seconds"].values()) > 0)'
echo "nowhere to write"; rm -r cache; echo file >cache
predict
"$FUSION" bench calibrate >out 2>&1; echo "exit $?"; sed "s|$PWD|HERE|; s/speeds-[a-z0-9]*/speeds-TIER/" out
