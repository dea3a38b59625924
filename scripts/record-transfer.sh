#!/bin/sh
# Runs and records the transfer experiments: probe and full × bundled mini-text and all-MiniLM-L6-v2 × SNIPS and SST-2.
# A run that was interrupted goes on; one that is finished is only copied. Takes hours.
#   scripts/record-transfer.sh [probe|full]
# The backbone comes from scripts/fetch-minilm.sh, the data from $XEXP_SHARED (default ../shared), which should be a
# relative path: it stands in the records as given.
set -eu
cd "$(dirname "$0")/.."

strategies="${1:-probe full}"
text="${XEXP_SHARED:-../shared}/data/text"
minilm=target/parity/minilm
xexp=target/release/xexp

for needed in "$xexp" "$minilm/model.safetensors" "$text/snips/train.csv" "$text/sst2_glue/train.tsv"; do
    [ -e "$needed" ] || { echo "record-transfer: $needed is missing" >&2; exit 1; }
done

# record STRATEGY NAME [--set …]: runs into target/lab-transfer and copies the records.
record() {
    strategy=$1 name=$2
    shift 2
    output="target/lab-transfer/$strategy-$name"
    folder="experiments/transfer-$strategy/cpu/$name"
    resume=
    [ ! -f "$output/run.json" ] || resume=--resume
    if [ ! -f "$output/report.md" ]; then
        code=0
        "$xexp" run "transfer-$strategy" "$@" --device cpu --output "$output" $resume --quiet || code=$?
        # 1 means that a prediction failed: recorded all the same, for the check to tell.
        [ "$code" -le 1 ] || exit "$code"
    fi
    mkdir -p "$folder"
    for file in predicted.csv measured.csv verdicts.csv manifest.toml run.json; do
        cp "$output/$file" "$folder/$file"
    done
    echo "$folder"
}

for strategy in $strategies; do
    for model in mini-text minilm; do
        for data in snips sst2; do
            case $data in
                snips) train="$text/snips/train.csv" test="$text/snips/validate.csv" ;;
                sst2) train="$text/sst2_glue/train.tsv" test="$text/sst2_glue/dev.tsv" ;;
            esac
            set -- --set "train=\"$train\"" --set "test=\"$test\""
            if [ "$model" = minilm ]; then
                set -- "$@" --set "model=\"$minilm\""
                # A backbone of its size wants smaller rates.
                [ "$strategy" != full ] || set -- "$@" --set 'adamw_rates=[2e-5,5e-5,1e-4,3e-4]'
            fi
            record "$strategy" "$model-$data" "$@"
        done
    done
done
