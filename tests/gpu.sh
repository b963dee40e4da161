#!/usr/bin/env bash
# Everything that needs a GPU, on a machine where nothing of attnbench is installed: `make gpu`.
# Runs what PYTHON (python3) has; more packages may lie on PYTHONPATH. Needs no network, and at most ten minutes.
# Usage: tests/gpu.sh [FOLDER [STEP...]]; leaves FOLDER/gpu-DATE and FOLDER/gpu-DATE.tar.gz, packed anew after each
# step. The steps are doctor, tests, run, selftest, peers and kernels, by default all. Exit codes: 0 all passed, or only
# the self-test, peers or kernels were cut off, which can go on; 1 not.
set -uo pipefail
out="$(mkdir -p "${1:-runs}" && cd "${1:-runs}" && pwd)" || exit 1
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
shift
steps=" ${*:-doctor tests run selftest peers kernels} "

python="${PYTHON:-python3}"
name="gpu-$(date +%Y%m%d-%H%M%S)"
folder="$out/$name"
summary="$folder/summary.txt"
failed=0
export PYTHONPATH="$PWD/typings${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
mkdir "$folder" || exit 1

say() { echo "$*" | tee -a "$summary"; }

pack() {
    tar -czf "$folder.tar.gz" -C "$out" "$name"
}
trap 'pack; echo "left $folder and $folder.tar.gz"' EXIT

# step NAME LIMIT_S COMMAND...: its output goes to NAME.log; past its limit it is interrupted, then killed.
step() {
    local step="$1" limit_s="$2" code begun=$SECONDS
    shift 2
    case "$steps" in *" $step "*) ;; *) return ;; esac
    [ "$limit_s" -gt 0 ] || { say "not run $step: no time is left"; return; }
    timeout --signal=INT --kill-after=15 "$limit_s" "$@" > "$folder/$step.log" 2>&1 < /dev/null
    code=$?
    if [ "$code" = 124 ] && [ "$step" = selftest ]; then
        say "unfinished $step ($((SECONDS - begun)) s): the same command goes on"
    elif [ "$code" = 124 ] && { [ "$step" = peers ] || [ "$step" = kernels ]; }; then
        say "unfinished $step ($((SECONDS - begun)) s): bench run --resume $folder/$step goes on"
    elif [ "$code" = 0 ]; then
        say "passed $step ($((SECONDS - begun)) s)"
    else
        failed=1
        say "failed $step (exit code $code, $((SECONDS - begun)) s); the end of $step.log:"
        tail -n 12 "$folder/$step.log" | sed 's/^/    /'
    fi
    pack
}

# Seconds left of ten minutes, less those for stopping and packing.
left() {
    echo $((570 - SECONDS))
}

# Modules among the arguments that this Python lacks.
lacking() {
    "$python" -c 'import importlib.util as u, sys; print(*(m for m in sys.argv[1:] if u.find_spec(m) is None))' "$@"
}

missing="$(lacking torch numpy pandas matplotlib seaborn scipy click yaml pydantic rich psutil)" ||
    { say "expected Python 3.11 or later, found no $python that runs: name another with PYTHON=..."; exit 1; }
[ -z "$missing" ] || { say "missing for $python: $missing; put them on PYTHONPATH"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { say "expected Python 3.11 or later, found $("$python" --version)"; exit 1; }
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    say "no CUDA device: the tests are skipped, nothing can be measured"
    failed=1
fi

if command -v nvidia-smi > /dev/null; then
    timeout 20 nvidia-smi -q > "$folder/nvidia-smi.log" 2>&1
fi
step doctor 20 "$python" -m attnbench.runner doctor
missing="$(lacking pytest pytest_timeout hypothesis)"
if [ -z "$missing" ]; then
    # Warnings of another machine's packages are told, and fail nothing.
    step tests 160 "$python" -m pytest -m gpu tests/test_gpu.py -q -p no:cacheprovider -W default \
        --timeout 120 --junitxml "$folder/tests.xml"
else
    say "not run tests: missing for $python: $missing"
fi
step run 240 "$python" -m attnbench.runner run suites/gpu.yaml --out "$folder/run"
# It goes on where it was interrupted: `bench selftest suites/selftest_gpu.yaml --out FOLDER/selftest`.
step selftest 110 "$python" -m attnbench.runner selftest suites/selftest_gpu.yaml --runs 1 --out "$folder/selftest"
# A first look in one process, with what is left of ten minutes.
step peers "$(left)" "$python" -m attnbench.runner run suites/peers_gpu.yaml --processes 1 --seq-len 4096 \
    -k "not flex" --out "$folder/peers"
step kernels "$(left)" "$python" -m attnbench.runner run suites/gpu_kernels.yaml --processes 1 --seq-len 1024 \
    --out "$folder/kernels"
exit "$failed"
