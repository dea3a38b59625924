#!/usr/bin/env bash
# A run that is stopped and resumed ends in the very weights of a run that was never stopped.
#
#   tests/parity/resume.sh [--model FOLDER] [--train FILE.csv] [--work FOLDER]
#
# Runs one fine-tuning twice whole, once killed by SIGKILL twice over, once by SIGINT and once by SIGTERM,
# and compares `weights_sha256` of results.json and the bytes of model.safetensors. Exits 1 on any difference.
set -euo pipefail
# Without job control, bash starts background commands with SIGINT ignored.
set -m

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root"
model="${XEXP_PARITY_BACKBONE:-target/parity/minilm}"
train="${XEXP_SHARED:-../shared}/data/text/snips/train.csv"
work="target/parity/resume"
while [[ $# -gt 0 ]]; do
  case "$1" in
    --model) model="$2" ;;
    --train) train="$2" ;;
    --work) work="$2" ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done

if [[ -z "${XEXP_PARITY_PROGRAM:-}" ]]; then
  cargo build --release --quiet --bin xexp
fi
# The program itself and not cargo: the signals have to reach it.
program="${XEXP_PARITY_PROGRAM:-${CARGO_TARGET_DIR:-target}/release/xexp}"
rm -rf "$work"
mkdir -p "$work"
failed=0

# start NAME [OPTION…]: the run in the background, its process in $pid.
start() {
  local name="$1"
  shift
  # The program is split into words on purpose: it may have arguments of its own.
  # shellcheck disable=SC2086
  $program finetune --model "$model" --train "$train" --text-column text --label-column label \
    --limit-train 400 --epochs 2 --batch-size 16 --checkpoint-every 5 --seed 7 --device cpu \
    --output "$work/$name" --quiet "$@" >>"$work/$name.log" 2>&1 </dev/null &
  pid=$!
}

# finish NAME WANTED: waits for the run, whose exit code has to be WANTED.
finish() {
  local code=0
  wait "$pid" || code=$?
  if [[ $code -ne $2 ]]; then
    echo "$1: exit code $code, expected $2" >&2
    tail -n 20 "$work/$1.log" >&2
    failed=1
  fi
}

# newest NAME: the step of the newest checkpoint, 0 without one.
newest() {
  local found
  found="$(find "$work/$1" -maxdepth 1 -name 'checkpoint-*' 2>/dev/null |
    sed -n 's/.*checkpoint-\([0-9]*\)$/\1/p' | sort -n | tail -n 1 || true)"
  echo "${found:-0}"
}

# rows NAME: lines of its metrics, 0 without the file.
rows() {
  if [[ -f "$work/$1/metrics.csv" ]]; then wc -l <"$work/$1/metrics.csv"; else echo 0; fi
}

# stop NAME SIGNAL AFTER: sends the signal once there is a checkpoint beyond step AFTER and a step beyond it.
stop() {
  local seen=-1
  while kill -0 "$pid" 2>/dev/null; do
    if [[ $seen -lt 0 && "$(newest "$1")" -gt "$3" ]]; then
      seen="$(rows "$1")"
    elif [[ $seen -ge 0 && "$(rows "$1")" -gt $seen ]]; then
      kill "-$2" "$pid" 2>/dev/null || true
      echo "$1: SIG$2 after the checkpoint of step $(newest "$1")"
      return
    fi
    sleep 0.02
  done
}

# weights NAME: what the two places say of its weights.
weights() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["weights_sha256"])' "$work/$1/results.json" &&
    sha256sum <"$work/$1/model.safetensors"
}

# same NAME: whether its weights are those of the run that was never stopped, and its metrics as long: a step
# that was done again after the last checkpoint is not to be written down twice.
same() {
  if [[ "$(weights "$1" 2>&1)" != "$(weights whole 2>/dev/null)" ]]; then
    printf '%-24s DIFFERS\n' "$1"
    weights "$1" || true
    failed=1
  elif [[ "$(rows "$1")" != "$(rows whole)" ]]; then
    printf '%-24s has %s lines of metrics, not %s\n' "$1" "$(rows "$1")" "$(rows whole)"
    failed=1
  else
    printf '%-24s identical %s\n' "$1" "$(weights "$1" | head -n 1)"
  fi
}

# not_done NAME: a run that was stopped has no results yet; if it has, the stop came too late to show anything.
not_done() {
  if [[ -e "$work/$1/results.json" ]]; then
    echo "$1: had finished before it was stopped" >&2
    failed=1
  fi
}

start whole
finish whole 0
start again
finish again 0

start killed
stop killed KILL 0
finish killed 137
not_done killed
after="$(newest killed)"
start killed --resume
stop killed KILL "$after"
finish killed 137
not_done killed
start killed --resume
finish killed 0

for signal in INT TERM; do
  name="interrupted-$signal"
  start "$name"
  stop "$name" "$signal" 0
  finish "$name" 75
  not_done "$name"
  start "$name" --resume
  finish "$name" 0
done

echo
weights whole >/dev/null || failed=1
for name in whole again killed interrupted-INT interrupted-TERM; do
  same "$name"
done
if [[ $failed -ne 0 ]]; then
  echo FAILED
  exit 1
fi
echo PASSED
