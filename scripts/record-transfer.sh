#!/bin/sh
# Runs and records the transfer experiments: probe and full × bundled mini-text and all-MiniLM-L6-v2 × SNIPS and SST-2.
# A run that was interrupted goes on; one that is finished is left as it is. Takes hours. The verdicts of all runs go into
# one table an experiment (scripts/transfer-table.py); the whole tables of the eight runs would weigh a megabyte.
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

# run STRATEGY NAME [--set …]: runs into target/lab-transfer.
run() {
    strategy=$1 name=$2
    shift 2
    output="target/lab-transfer/$strategy-$name"
    resume=
    [ ! -f "$output/run.json" ] || resume=--resume
    if [ ! -f "$output/report.md" ]; then
        code=0
        "$xexp" run "transfer-$strategy" "$@" --device cpu --output "$output" $resume --quiet || code=$?
        # 1 means that a prediction failed: recorded all the same, for the check to tell.
        [ "$code" -le 1 ] || exit "$code"
    fi
    echo "$output"
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
            run "$strategy" "$model-$data" "$@"
        done
    done
done
for strategy in $strategies; do scripts/transfer-table.py "$strategy"; done
