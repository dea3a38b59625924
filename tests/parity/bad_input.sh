#!/usr/bin/env bash
# Bad input of every kind: the right exit code, an error that names the trouble, and nothing written over.
#
#   tests/parity/bad_input.sh [--model FOLDER] [--work FOLDER]
#
# Each case has an output folder that holds an earlier model, and --overwrite is given: a run that fails before
# it has anything better must leave those files as they are. Exits 1 when a case misses.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../.."
model="${XEXP_PARITY_BACKBONE:-target/parity/minilm}"
work="target/parity/bad-input"
while [[ $# -gt 0 ]]; do
  case "$1" in
    --model) model="$2" ;;
    --work) work="$2" ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done

if [[ -z "${XEXP_PARITY_PROGRAM:-}" ]]; then
  cargo build --release --quiet --bin xexp
fi
program="${XEXP_PARITY_PROGRAM:-${CARGO_TARGET_DIR:-target}/release/xexp}"
rm -rf "$work"
mkdir -p "$work"
failed=0

# The inputs are made by Python's standard library alone.
python3 "$here/bad_inputs.py" "$model" "$work"
data="$work/data"
good="$data/good.csv"

# earlier FOLDER: an output folder with a model in it.
earlier() {
  mkdir -p "$1"
  echo "weights of an earlier run" >"$1/model.safetensors"
  echo "a file of the user" >"$1/notes.txt"
}

# content FOLDER: names and bytes of all that is in it.
content() {
  (cd "$1" 2>/dev/null && find . -type f -exec sha256sum {} + | sort -k 2) || true
}

# verdict NAME WANTED-CODE CODE PATTERN LOG UNTOUCHED: prints the row of a case.
verdict() {
  local misses=""
  [[ $3 -eq $2 ]] || misses+=" exit code is not $2;"
  # Lines are joined: a message may break anywhere.
  tr '\n' ' ' <"$5" | grep --quiet --ignore-case --extended-regexp -- "$4" || misses+=" message lacks /$4/;"
  ! grep --quiet "panicked at" "$5" || misses+=" panicked;"
  [[ $6 == yes ]] || misses+=" output was touched;"
  printf '%-20s %4s %4s  %-6s %s\n' "$1" "$2" "$3" "${misses:+MISSES}" "$(grep -v '^$' "$5" | head -n 1 | cut -c 1-150)"
  if [[ -n "$misses" ]]; then
    echo "   $misses it said:"
    sed 's/^/    | /' "$5"
    failed=1
  fi
}

# refuses NAME CODE PATTERN OPTION…: `xexp finetune` with these options ends with this code and says the pattern.
refuses() {
  local name="$1" wanted="$2" pattern="$3" code=0 untouched=yes before
  shift 3
  local out="$work/out/$name" log="$work/$name.log"
  earlier "$out"
  before="$(content "$out")"
  # shellcheck disable=SC2086
  $program finetune --output "$out" --overwrite --seed 7 --epochs 1 --batch-size 8 --quiet "$@" \
    >"$log" 2>&1 </dev/null || code=$?
  [[ "$(content "$out")" == "$before" ]] || untouched=no
  verdict "$name" "$wanted" "$code" "$pattern" "$log" "$untouched"
}

columns=(--text-column text --label-column label)
printf '%-20s %4s %4s  %-6s %s\n' case want code '' message

# The control: the file and the model that the cases below bend are good, so each fails for its own fault.
log="$work/control.log"
code=0
# shellcheck disable=SC2086
$program finetune --model "$model" --train "$good" --valid "$good" "${columns[@]}" --output "$work/out/control" \
  --epochs 1 --batch-size 8 --seed 7 --quiet >"$log" 2>&1 </dev/null || code=$?
echo "ended" >>"$log"
verdict control 0 "$code" "ended" "$log" yes

refuses missing-train 2 "no-such-file\.csv" --model "$model" --train "$data/no-such-file.csv" "${columns[@]}"
refuses missing-model 2 "no-such-model" --model "$work/no-such-model" --train "$good" "${columns[@]}"
refuses wrong-column 2 "sentense.*sentence|sentence.*sentense" --model "$model" --train "$data/sentence.csv" \
  --text-column sentense --label-column label
refuses ragged-row 2 "ragged\.csv.*(line |:)4|(line |:)4.*ragged\.csv" --model "$model" --train "$data/ragged.csv" "${columns[@]}"
refuses broken-json-line 2 "(line |:)3" --model "$model" --train "$data/broken.jsonl" "${columns[@]}"
refuses one-class 2 "(one|single|two|1|2) (class|label)" --model "$model" --train "$data/one_class.csv" "${columns[@]}"
refuses empty-text 2 "(line |:)5" --model "$model" --train "$data/empty_text.csv" "${columns[@]}"
refuses empty-file 2 "empty\.csv" --model "$model" --train "$data/empty.csv" "${columns[@]}"
refuses unseen-label 2 "purple" --model "$model" --train "$good" --valid "$data/unseen.csv" "${columns[@]}"
refuses truncated-weights 2 "model\.safetensors" --model "$work/truncated" --train "$good" "${columns[@]}"
refuses corrupted-weights 2 "model\.safetensors" --model "$work/corrupted" --train "$good" "${columns[@]}"
refuses missing-tensor 2 "layer\.0\.attention\.self\.query\.weight" --model "$work/missing" --train "$good" "${columns[@]}"
refuses wrong-shape 2 "embeddings\.LayerNorm\.weight.*(384|192)" --model "$work/shape" --train "$good" "${columns[@]}"
refuses pickle-weights 2 "safetensors" --model "$work/pickle" --train "$good" "${columns[@]}"
refuses unknown-model-type 2 "wobble" --model "$work/type" --train "$good" "${columns[@]}"
refuses broken-config 2 "config\.json" --model "$work/config" --train "$good" "${columns[@]}"
refuses no-cuda 3 "cuda" --model "$model" --train "$good" "${columns[@]}" --device cuda

# Without --overwrite a folder with anything in it is refused.
out="$work/out/not-empty"
log="$work/not-empty.log"
code=0 untouched=yes
earlier "$out"
before="$(content "$out")"
# shellcheck disable=SC2086
$program finetune --model "$model" --train "$good" "${columns[@]}" --output "$out" --quiet \
  >"$log" 2>&1 </dev/null || code=$?
[[ "$(content "$out")" == "$before" ]] || untouched=no
verdict not-empty 2 "$code" "overwrite" "$log" "$untouched"

# Permissions do not bind the superuser; nobody can make a folder in /sys.
if [[ "$(id -u)" -eq 0 ]]; then
  closed="/sys"
else
  closed="$work/closed"
  mkdir -p "$closed"
  chmod 555 "$closed"
fi
log="$work/unwritable.log"
code=0
# shellcheck disable=SC2086
$program finetune --model "$model" --train "$good" "${columns[@]}" --output "$closed/out" --quiet \
  >"$log" 2>&1 </dev/null || code=$?
verdict unwritable-output 3 "$code" "$closed/out" "$log" yes

# full NAME OUT: a run whose model has no room in OUT. It fails late, so the folder is its own by then; what it
# may not leave there is a model.safetensors that is neither the earlier one nor whole.
full() {
  local log="$work/$1.log" code=0 untouched=yes
  earlier "$2"
  (
    if [[ $1 == file-size-limit ]]; then
      # Ignored, the signal of the limit becomes an error of the write.
      trap '' XFSZ
      ulimit -f 20000
    fi
    # shellcheck disable=SC2086
    exec $program finetune --model "$model" --train "$good" "${columns[@]}" --output "$2" --overwrite \
      --epochs 1 --batch-size 8 --seed 7 --quiet >"$log" 2>&1 </dev/null
  ) || code=$?
  if [[ -e "$2/model.safetensors" ]] && ! grep --quiet "weights of an earlier run" "$2/model.safetensors"; then
    untouched=no
  fi
  verdict "$1" 3 "$code" "space|large|disk|full" "$log" "$untouched"
}

full file-size-limit "$work/out/file-size-limit"
small="$work/small-disk"
mkdir -p "$small"
if mount -t tmpfs -o size=20m tmpfs "$small" 2>/dev/null; then
  trap 'umount "$small"' EXIT
  full small-disk "$small/out"
else
  echo "small-disk: mounting is not allowed here; the file-size limit stands for it"
fi

if [[ $failed -ne 0 ]]; then
  echo FAILED
  exit 1
fi
echo PASSED
