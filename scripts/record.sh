#!/usr/bin/env bash
# Runs the whole catalogue and puts the tables into experiments/<id>/: what the repository holds as recorded.
# Only tables are kept there; reports and plots are made from them by `xexp report`. The manifest, which is written before
# anything is measured, lies beside the finding, and the tables' folder refers to it.
#
#   scripts/record.sh [ID…]     (default: all)
#   PROGRAM=…   the program [target/release/xexp]
#   OUTPUT=…    where it runs [target/lab]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
program="${PROGRAM:-${CARGO_TARGET_DIR:-target}/release/xexp}"
output="${OUTPUT:-${CARGO_TARGET_DIR:-target}/lab}"
ids=("${@:-all}")

code=0
"$program" run "${ids[@]}" --device cpu --output "$output" --overwrite || code=$?
# 1 means that a prediction failed: recorded all the same, for the check to tell.
if [[ $code -gt 1 ]]; then
  exit "$code"
fi

# record FOLDER ID: puts the tables of a run into the repository.
record() {
  local to="experiments/$2/cpu" file
  mkdir -p "$to"
  for file in predicted.csv measured.csv verdicts.csv run.json; do
    cp "$1/$file" "$to/$file"
  done
  cp "$1/manifest.toml" "experiments/$2/manifest.toml"
  ln -sf ../manifest.toml "$to/manifest.toml"
  echo "recorded $to"
}

# With one experiment the tables lie in the folder itself, with several in a folder for each.
if [[ ${#ids[@]} -eq 1 && ${ids[0]} != all ]]; then
  record "$output" "${ids[0]}"
else
  while IFS=, read -r id _; do
    record "$output/$id" "$id"
  done < <(tail -n +2 "$output/summary.csv")
fi

"$program" check experiments
exit "$code"
