#!/usr/bin/env bash
# Makes the bundled backbones anew, by the commands that made those in the repository, and records how it went.
# Three quarters of an hour on two cores. Needs the shared data for the sentences of SNIPS and CLINC150 that the text backbone is
# distilled on (training splits alone), and pip for its teacher.
#
#   experiments/bundled-backbone/make.sh [text|vision] [--install]
#
# Results go to target/backbone/; with --install also to crates/bundled/models and, the log and the figures, here.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here="experiments/bundled-backbone"
shared="${XEXP_SHARED:-../shared}"
which="both" install=0
for word in "$@"; do
  case "$word" in
    text | vision) which="$word" ;;
    --install) install=1 ;;
    *) echo "usage: $0 [text|vision] [--install]" >&2; exit 2 ;;
  esac
done
cargo build --release --quiet --bin xexp
xexp="${CARGO_TARGET_DIR:-target}/release/xexp"
mkdir -p target/backbone

# record RUN: keeps what a run left beside its weights.
record() {
  [[ $install -eq 1 ]] || return 0
  mkdir -p "$here/$1"
  for file in results.json run.json metrics.csv; do
    cp "target/backbone/$1/$file" "$here/$1/$file"
  done
  # Of the log of a text run, every fifth row and the evaluations.
  case "$1" in
    text*)
      awk -F, 'NR == 1 || NR % 5 == 1 || $8 != ""' "target/backbone/$1/metrics.csv" >"$here/$1/metrics.csv"
      ;;
  esac
}

# keep RUN NAME FILE…: installs a model's files and records its run.
keep() {
  local run="$1" name="$2"
  shift 2
  record "$run"
  [[ $install -eq 1 ]] || return 0
  mkdir -p "crates/bundled/models/$name"
  for file in model.safetensors config.json "$@"; do
    cp "target/backbone/$run/$file" "crates/bundled/models/$name/$file"
  done
}

if [[ $which != vision ]]; then
  scripts/fetch-minilm.sh target/parity/minilm
  scripts/clinc-texts.py "$shared/data/text/clinc150/data_full.json" >target/backbone/clinc-train.txt
  # First on all texts that there were then, later on what people write to a shop, of which more had been written.
  { cat "$here/own.txt"; gunzip -c "$here/own-support.txt.gz"; } >target/backbone/own-all.txt
  "$xexp" distill --model target/parity/minilm \
    --train "$shared/data/text/snips/train.csv" --train target/backbone/clinc-train.txt \
    --train bundled:shop-requests --train "$here/own.txt" \
    --layers 3 --take 0,2,5 --hidden 448 --positions 128 --vocabulary 6000 \
    --batch-size 64 --epochs 12 --join 0.2 --warmup 0.05 \
    --output target/backbone/text-first --overwrite
  "$xexp" distill --model target/parity/minilm --student target/backbone/text-first \
    --train bundled:shop-requests --train target/backbone/own-all.txt \
    --batch-size 32 --epochs 20 --join 0.2 --warmup 0.05 --lr 3e-4 --save-dtype bf16 \
    --output target/backbone/text --overwrite
  record text-first
  keep text mini-text tokenizer.json tokenizer_config.json special_tokens_map.json
fi

if [[ $which != text ]]; then
  "$xexp" finetune --model "$here/vision" --backbone random --train bundled:shapes \
    --batch-size 32 --epochs 8 --lr 1e-3 --schedule cosine --warmup 0.04 --weight-decay 0.05 --log-every 50 \
    --save-dtype f16 --output target/backbone/vision --overwrite
  keep vision mini-vision preprocessor_config.json
fi
