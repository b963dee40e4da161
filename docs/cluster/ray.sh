#!/bin/sh
# A suite on a Ray cluster. Here its two nodes are on one machine; on a real one, call `ray start --address` on each node.
set -eu
suite=$1 out=$2
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-disabled}"    # see "Tokens" in cluster.md
ray start --head --num-cpus 0 --port "${PORT:-6379}"
trap 'ray stop --force' EXIT    # ends all Ray processes of yours on this machine
ray start --address "127.0.0.1:${PORT:-6379}" --num-cpus 1
ray start --address "127.0.0.1:${PORT:-6379}" --num-cpus 1
bench run "$suite" --executor ray --address "127.0.0.1:${PORT:-6379}" --anyway --out "$out"
