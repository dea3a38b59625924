#!/usr/bin/env python3
"""Writes experiments/head-audit/table.md: a line a family, from the recorded verdicts.

For every backbone and library: the logits' mean square, and the initial loss over ln K.

    scripts/head-audit-table.py RUN…      folders with verdicts.csv, in the order of the table
"""

import csv
import sys
from math import log
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "experiments" / "head-audit" / "table.md"
LIBRARIES = ("transformers", "timm", "fastai", "xexp")
CLASSES = 10


def main() -> None:
    """Reads the runs and writes the table."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for run in sys.argv[1:]:
        with (Path(run) / "verdicts.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                setup, part = row["row"].split("/")
                subject, library = setup.rsplit("-", 1)
                found.setdefault(subject, {}).setdefault(library, {})[part] = float(row["measured"])
    lines = [
        "| features of | E φ² | " + " | ".join(f"{name}: E z², excess loss" for name in LIBRARIES) + " |",
        "| --- | ---: |" + " ---: |" * len(LIBRARIES),
    ]
    for subject, libraries in found.items():
        cells = [cell(libraries.get(name)) for name in LIBRARIES]
        lines.append(f"| {subject} | {libraries['xexp']['energy']:.3g} | " + " | ".join(cells) + " |")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {TABLE}")


def cell(measured: dict[str, float] | None) -> str:
    """What one library starts from; a dash where it has no such model."""
    if measured is None:
        return "–"
    return f"{measured['logits']:.2g}, {measured['loss'] - log(CLASSES):+.3f}"


if __name__ == "__main__":
    main()
