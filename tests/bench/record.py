"""What a benchmark leaves: its table, and the machine that it comes from."""

import csv
from pathlib import Path

import ours
from transfer import machine

FOLDER = ours.ROOT / "experiments" / "speed" / "cpu"


def write(name: str, rows: list[dict], folder: Path = FOLDER) -> None:
    """Rows as a CSV file of this name, under the keys of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "machine.txt").write_text(machine() + "\n", encoding="utf-8")


def read(name: str) -> list[dict]:
    """The rows of a file of this name; none where it is not there."""
    if not (FOLDER / name).is_file():
        return []
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def show(row: dict) -> None:
    """A row on the terminal, as soon as it is there."""
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
