#!/usr/bin/env bash
# Runs notebooks/results.ipynb from a clean environment, without changing it; the executed copy, with its figures, goes to
# target/notebook/results.html.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
place="$(realpath -m "${CARGO_TARGET_DIR:-target}/notebook")"
stamp="$place/requirements.txt"
if ! cmp -s notebooks/requirements.txt "$stamp"; then
  rm -rf "$place"
  python3 -m venv "$place/venv"
  "$place/venv/bin/pip" install --quiet --disable-pip-version-check -r notebooks/requirements.txt
  cp notebooks/requirements.txt "$stamp"
fi
before="$(sha256sum notebooks/results.ipynb)"
export PATH="$place/venv/bin:$PATH" MPLBACKEND=module://matplotlib_inline.backend_inline
export IPYTHONDIR="$place/ipython" JUPYTER_CONFIG_DIR="$place/jupyter" JUPYTER_DATA_DIR="$place/jupyter"
"$place/venv/bin/jupyter" nbconvert --to html --execute --ExecutePreprocessor.timeout=300 \
  --output-dir "$place" --output results.html notebooks/results.ipynb
[[ "$before" == "$(sha256sum notebooks/results.ipynb)" ]]
# A notebook in the repository carries no outputs: they would be copies of the tables.
python3 - <<'PY'
import json
cells = json.load(open("notebooks/results.ipynb", encoding="utf-8"))["cells"]
assert all(not cell.get("outputs") for cell in cells), "results.ipynb carries outputs"
PY
figures="$(grep -o 'data:image/png' "$place/results.html" | wc -l)"
echo "results.ipynb: $figures figures"
[[ "$figures" -ge 3 ]]
