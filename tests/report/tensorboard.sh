#!/usr/bin/env bash
# Opens a run in TensorBoard itself, in a headless Chromium: its page must show the charts of training and of validation.
# A screenshot goes to target/report/.
#
#   tests/report/tensorboard.sh PYTHON RUN
set -euo pipefail

python="$1"
run="$2"
out="${CARGO_TARGET_DIR:-target}/report"
mkdir -p "$out"
browser="$(command -v chromium || command -v chromium-browser)"
work="$(mktemp -d)"
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
"$python" -m tensorboard.main --logdir "$run/logs" --host 127.0.0.1 --port 0 --load_fast=false >"$work/log" 2>&1 &
server=$!
address=""
for _ in $(seq 120); do
  address="$(grep --only-matching --extended-regexp 'http://127[^ ]*' "$work/log" || true)"
  [[ -n "$address" ]] && break
  sleep 0.5
done
if [[ -z "$address" ]]; then
  cat "$work/log" >&2
  exit 1
fi
# The page draws what it has asked its server for; give it time to.
look() {
  timeout 180 "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$work/profile" --window-size=1400,1800 \
    --virtual-time-budget=60000 "$@" "$address#timeseries" 2>/dev/null
}
look --dump-dom >"$work/dom.html"
look --screenshot="$out/tensorboard.png" >/dev/null
for tag in train/loss train/grad_norm valid/accuracy valid/macro_f1; do
  if ! grep --quiet "$tag" "$work/dom.html"; then
    echo "TensorBoard shows no $tag" >&2
    exit 1
  fi
done
echo "TensorBoard shows the run"
