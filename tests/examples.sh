#!/usr/bin/env bash
# Runs every recipe of examples/ for a few steps, on local copies of models and data of the kinds that it names.
#
# Usage: tests/examples.sh PROGRAM MINILM
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
program="$1" minilm="$2"
data="$(realpath "${XEXP_SHARED:-../shared}")/data"
outputs="${CARGO_TARGET_DIR:-target}/examples-run"
rm -rf "$outputs"
mkdir -p "$outputs"

texts=(--model "$minilm" --train "$data/text/snips/train.csv" --valid "$data/text/snips/validate.csv"
  --text-column text --label-column label)
pairs=(--model "$minilm" --train "$data/text/mrpc/train.tsv" --valid "$data/text/mrpc/dev.tsv"
  --text-column "#1 String" --pair-column "#2 String" --label-column Quality)
photos=(--model "$data/models/mobilenet_v2_0.35_224" --train "$data/images/flowers12/train" --valid "$data/images/flowers12/test")

for recipe in examples/*.toml; do
  name="$(basename "$recipe" .toml)"
  case "$name" in
    pairs) place=("${pairs[@]}") ;;
    photos) place=("${photos[@]}") ;;
    *) place=("${texts[@]}") ;;
  esac
  echo "== $recipe"
  "$program" finetune --config "$recipe" "${place[@]}" --output "$outputs/$name" --limit-train 96 --epochs 1 --quiet
  # What the recipe says is what ran.
  wanted="$(sed -n 's/^strategy = "\(.*\)"$/\1/p' "$recipe")"
  grep --quiet "\"strategy\": \"${wanted:-full}\"" "$outputs/$name/results.json"
done
count="$(ls examples/*.toml | wc -l)"
echo "$count recipes ran"
[[ "$count" -ge 6 ]]
