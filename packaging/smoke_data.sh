#!/bin/sh
# Makes what a small job over TLS needs, in the current folder, with the `fusion` of the PATH and openssl: model.fsn,
# ca.pem, server.pem and server.key (for localhost and 127.0.0.1), queries.csv, public.csv, labels.csv.
# usage: smoke_data.sh NETWORK.onnx     (five inputs, two or more scores)
set -eu
awk 'BEGIN {
  for (i = 0; i < 200; i++)
    for (k = 1; k <= 5; k++) printf "%.4f%s", ((i * k * 7 + k * 3) % 211 - 105) / 105, k < 5 ? "," : "\n"
}' >public.csv
head -n 4 public.csv >queries.csv
fusion compile "$1" --calibrate public.csv --bits 8,8 --samples 0 -o model.fsn
# The labels are the model's own: every public answer is right.
fusion run model.fsn --input public.csv -o answers.csv
tail -n +2 answers.csv | cut -d, -f2 >labels.csv

new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
# shellcheck disable=SC2086
openssl req -x509 $new_key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem 2>openssl.log
# shellcheck disable=SC2086
openssl req $new_key -subj /CN=localhost -keyout server.key -out request.pem 2>>openssl.log
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >extensions
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 2 -extfile extensions -out server.pem 2>>openssl.log
