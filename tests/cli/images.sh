# Pictures from end to end: a network compiled from a folder of them, run and queried with pictures, answers with names.
pictures=$SOURCE/tests/data/pictures
mkdir some public
cp "$pictures"/rgb.png "$pictures"/grey.jpg "$pictures"/palette.png "$pictures"/progressive.jpeg some
for i in $(seq 100 139); do for p in rgb.png grey.jpg ink.jpg; do cp "$pictures/$p" "public/$i-$p"; done; done
printf '%s\n' 'cat, small' 'a "dog"' bird frog fish >classes.txt
printf '{"resize": 20, "crop": 16, "scale": 0.00392156862745098, "mean": [0.5, 0.4, 0.3], "std": 0.25}' >p.json
refused() { "$FUSION" "$@"; echo "exit $?"; }

$FUSION compile "$SOURCE/tests/model/data/exported_squeeze.onnx" --calibrate public --preprocess p.json --bits 12,12 -o m.fsn >/dev/null
$FUSION inspect m.fsn -n 0 | sed -n 1,2p
$FUSION run m.fsn --input some --preprocess p.json --classes classes.txt -o run.csv | grep -v samples
cut -d, -f1-3 run.csv
# The model normalises: the picture's size is all that clients need to say.
$FUSION run m.fsn --input some/rgb.png --preprocess '{"resize": 20, "crop": 16}' --json | sed '/seconds/d'

# Labels of the public pictures: what the model itself says of them.
$FUSION run m.fsn --input public --preprocess p.json -o public.csv >/dev/null
sed 1d public.csv | cut -d, -f2 >labels.csv
$FUSION serve m.fsn --listen 127.0.0.1:0 --plaintext --ready-file port --quiet --grace-s 1 >/dev/null 2>&1 &
server=$!
for i in $(seq 200); do [ -s port ] || sleep 0.05; done
$FUSION query "127.0.0.1:$(cat port)" --plaintext --quiet --input some --public public --labels labels.csv \
  --preprocess p.json --classes classes.txt -o query.csv --raw | grep -v '^traffic'
cmp run.csv query.csv && echo "query and run answer alike"
refused query "127.0.0.1:$(cat port)" --plaintext --quiet --input some --public public --labels labels.csv \
  --preprocess '{"resize": 20, "crop": 16, "scale": 1, "mean": 3}'
kill $server
wait $server

refused run m.fsn --input some --preprocess '{"resize": 16}'
refused run m.fsn --input some
refused run m.fsn --input run.csv --preprocess p.json
refused run m.fsn --input some --preprocess p.json --classes p.json
refused run m.fsn --input some --preprocess p.json --classes absent.txt
refused run m.fsn --input some --preprocess '{"scale": 1}'
head -c 700 some/rgb.png >some/zut.png
refused run m.fsn --input some --preprocess p.json
