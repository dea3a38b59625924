#!/usr/bin/env bash
# Records what `xexp inspect` finds in checkpoints that many use: experiments/inspect-*/cpu. Needs MiniLM
# (scripts/fetch-minilm.sh target/parity/minilm), the shared data, and a built program. Three minutes on two cores, most of
# them for fine-tuning MiniLM on SNIPS.
#
#   scripts/record-inspect.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
shared="${XEXP_SHARED:-../shared}"
program="${XEXP_PROGRAM:-target/release/xexp}"
minilm=target/parity/minilm
snips="$shared/data/text/snips"

# record NAME FLAG…: inspects, and keeps the tables and the report without plots.
record() {
  local out="experiments/inspect-$1/cpu"
  shift
  rm -rf target/inspect-record
  "$program" inspect "$@" --output target/inspect-record --quiet >/dev/null
  rm -rf "$out"
  mkdir -p "$out"
  cp target/inspect-record/*.csv "$out/"
  # Its tables are those of the CSV files, but for what the columns mean.
  awk '/^The columns/ { legend = 1 } /^## / { legend = 0 } legend || !/^\|/' target/inspect-record/report.md >"$out/report.md"
  # Where the shared data lie says nothing about the model.
  sed -i "s|$shared|../shared|g" "$out/report.md"
  printf 'date: %s\nmachine: %s, %s cores, Linux\nxexp %s\n' "$(date -u +%F)" \
    "$(lscpu | sed -n 's/^Model name: *\([^ ]* [^ ]*\).*/\1/p')" "$(nproc)" "$("$program" --version | cut -d ' ' -f 2)" >"$out/machine.txt"
}

record minilm "$minilm" --data "$snips/validate.csv" --limit 256
record mini-text bundled:mini-text --data bundled:shop-requests --limit 256
record mini-vision bundled:mini-vision --data bundled:symbols --limit 256
record mobilenet-v2 "$shared/data/models/mobilenet_v2_0.35_224" --data "$shared/data/images/flowers12" --limit 64

tuned=target/inspect-snips
if [[ ! -f "$tuned/results.json" ]]; then
  rm -rf "$tuned"
  "$program" finetune --model "$minilm" --train "$snips/train.csv" --valid "$snips/validate.csv" --limit-train 6400 --epochs 1 \
    --output "$tuned" --quiet
fi
record minilm-snips "$minilm" --compare "$tuned" --data "$snips/validate.csv" --limit 256
