#!/bin/sh
# A suite in two SLURM jobs, each with a machine for itself. The command waits for them and merges their runs.
set -eu
suite=$1 out=$2
bench run "$suite" --executor slurm --shards 2 --slurm partition=cpu --slurm timeout_min=60 --out "$out"
