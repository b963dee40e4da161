#!/bin/sh
# A suite in two shards, for any scheduler: the two runs may be on different machines, and the last line needs both.
set -eu
suite=$1 out=$2
bench run "$suite" --shard 1/2 --out "$out.1"
bench run "$suite" --shard 2/2 --out "$out.2"
bench merge "$out.1" "$out.2" --out "$out"
