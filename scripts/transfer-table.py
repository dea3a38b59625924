#!/usr/bin/env python3
"""Puts the verdicts of the transfer runs into one table an experiment, small enough to be kept.

Reads target/lab-transfer/{probe,full}-BACKBONE-DATA/, writes for each experiment
experiments/transfer-*/cpu/results.csv (every row of every run, five significant digits) and runs.csv (what was run, when, on
what, and the hashes of the whole tables, which the same commands give again). What was recorded of a run that is not there now
stays.

    scripts/transfer-table.py [probe|full]
"""

import csv
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "target" / "lab-transfer"
ROWS = ["predicted", "measured", "low", "high", "draws", "tolerance", "verdict", "control", "claim_verdict"]


def main() -> None:
    """Writes the tables of the experiments asked for."""
    for strategy in sys.argv[1:] or ["probe", "full"]:
        folders = sorted(path.parent for path in RUNS.glob(f"{strategy}-*/run.json"))
        finished = [folder for folder in folders if record(folder)["status"] == "finished"]
        if not finished:
            sys.exit(f"no finished run of {strategy} under {RUNS}: scripts/record-transfer.sh {strategy}")
        target = ROOT / "experiments" / f"transfer-{strategy}" / "cpu"
        target.mkdir(parents=True, exist_ok=True)
        write(target / "results.csv", ["run", "row", *ROWS], [row for f in finished for row in results(f, strategy)])
        write(target / "runs.csv", ["run", *RUN], [run(folder, strategy) for folder in finished])
        print(f"{target}: {len(finished)} runs new")


def record(folder: Path) -> dict:
    """A run's own record."""
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def name(folder: Path, strategy: str) -> str:
    """Backbone and data of a run."""
    return folder.name.removeprefix(f"{strategy}-")


def results(folder: Path, strategy: str) -> list[list[str]]:
    """The rows of a run's verdicts."""
    with (folder / "verdicts.csv").open(encoding="utf-8", newline="") as file:
        return [[name(folder, strategy), row["row"], *(short(row[key]) for key in ROWS)] for row in csv.DictReader(file)]


def short(cell: str) -> str:
    """A number with five significant digits, anything else as it is."""
    try:
        return f"{float(cell):.5g}"
    except ValueError:
        return cell


RUN = ["command", "cpu", "threads", "finished", "seconds", "manifest.toml", "predicted.csv", "measured.csv", "verdicts.csv"]


def run(folder: Path, strategy: str) -> list[str]:
    """What was run, and the hashes of its tables."""
    said = record(folder)
    machine = said["machine"]
    hashes = [said["sha256"][file] for file in RUN[5:]]
    seconds = f"{said['seconds']:.0f}"
    return [name(folder, strategy), said["command"], machine["cpu"], machine["threads"], said["finished"], seconds, *hashes]


def write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """A CSV file, whole or not at all, ordered by run; rows of other runs stay."""
    new = {row[0] for row in rows}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            old, *kept = csv.reader(file)
        if old != header:
            sys.exit(f"{path} has other columns: {', '.join(old)}; remove it to begin anew")
        rows = sorted([row for row in kept if row[0] not in new] + rows, key=lambda row: row[0])
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    draft.replace(path)


if __name__ == "__main__":
    main()
