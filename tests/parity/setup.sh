#!/usr/bin/env bash
# Creates the virtual environment of the parity checks and prints the path of its Python.
# Place: XEXP_PARITY_VENV, by default target/parity/venv. Does nothing when the environment is up to date.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="${XEXP_PARITY_VENV:-$root/target/parity/venv}"
wanted="$here/requirements.txt"
stamp="$venv/.xexp-requirements.txt"

if ! cmp --silent "$wanted" "$stamp"; then
  echo "making $venv (PyTorch and transformers: a download of a few gigabytes)" >&2
  # The stamp is written last: an installation that was cut off is done again.
  rm -f "$stamp"
  python3 -m venv "$venv" >&2
  "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --requirement "$wanted" >&2
  "$venv/bin/python" -c 'import peft, torch, transformers' >&2
  cp "$wanted" "$stamp"
fi
echo "$venv/bin/python"
