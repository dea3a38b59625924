#!/usr/bin/env bash
# Compiles reports of `xexp run` with pdfLaTeX: every report.tex below the folder.
#
#   tests/report/latex.sh DIR
set -euo pipefail

if ! command -v pdflatex >/dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends texlive-latex-base texlive-latex-recommended >/dev/null
fi
out="${CARGO_TARGET_DIR:-target}/report/latex"
mkdir -p "$out"
count=0
while read -r report; do
  if ! pdflatex -interaction=nonstopmode -halt-on-error -output-directory "$out" "$report" >"$out/report.txt" 2>&1; then
    tail -30 "$out/report.txt" >&2
    echo "$report does not compile" >&2
    exit 1
  fi
  count=$((count + 1))
done < <(find "$1" -name report.tex | sort)
echo "$count reports compile"
[[ "$count" -gt 0 ]]
