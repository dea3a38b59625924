"""`--lr auto --head-init auto` against a grid of learning rates and heads, on four sets with the real backbone.

Every finished run is kept as a JSON file and not computed again, so the script can be stopped and started at will. The
tables are rewritten from all that is there at the end of every call.

Usage: python tests/parity/auto_grid.py [--only SET] [--auto | --grid] [--check]
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import auto_sets
import ours
from accuracy import machine

STORE = ours.SCRATCH / "auto"
TABLE = ours.ROOT / "experiments" / "auto" / "cpu"
GRID = [(lr, "xavier") for lr in ("2e-4", "5e-4", "1e-3", "1e-4")] + [("5e-4", "zero")]
AUTO = ("auto", "auto")
SEED = 1
# How far below the grid's best, in points of accuracy, the automatic run may end.
BOUND = 0.5
COLUMNS = ["set", "lr", "head_init", "used_lr", "used_head_lr", "accuracy", "macro_f1", "loss", "seconds"]


def main() -> None:
    """Computes what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=auto_sets.SETS, help="this set alone")
    parser.add_argument("--lr", help="this learning rate alone")
    parser.add_argument("--auto", action="store_true", help="the automatic runs alone")
    parser.add_argument("--grid", action="store_true", help="the grid alone")
    parser.add_argument("--check", action="store_true", help="compute nothing; exit 1 unless every bound holds")
    args = parser.parse_args()
    STORE.mkdir(parents=True, exist_ok=True)
    settings = ([] if args.auto else GRID) + ([] if args.grid else [AUTO])
    for setting in [] if args.check else settings:
        for name in auto_sets.SETS:
            if args.only in (None, name) and args.lr in (None, setting[0]):
                compute(name, *setting)
    kept = [json.loads(path.read_text()) for path in sorted(STORE.glob("*.json"))]
    within = tables(kept)
    sys.exit(0 if within or not args.check else 1)


def compute(name: str, lr: str, init: str) -> None:
    """One run, unless it is stored."""
    path = STORE / f"{name}-{lr}-{init}.json"
    if path.exists():
        return
    print(f"{name}, lr {lr}, head {init}", flush=True)
    data, columns = auto_sets.files(name, STORE / "data")
    output = STORE / "runs" / path.stem
    command = ["finetune", "--model", ours.backbone(), *data, *columns, "--output", output, "--overwrite"]
    command += ["--lr", lr, "--head-init", init, "--epochs", 3, "--seed", SEED, "--device", "cpu"]
    done = ours.run(ours.program(), *command, "--quiet", "--format", "json", stdout=subprocess.PIPE, text=True)
    results = json.loads(done.stdout)
    kept = {
        "set": name,
        "lr": lr,
        "head_init": init,
        "used_lr": results["lr"],
        "used_head_lr": results["head_lr"],
        **{score: results["valid"][score] for score in ("accuracy", "macro_f1", "loss")},
        "seconds": results["seconds"],
        "lr_auto": results.get("lr_auto"),
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=2) + "\n")
    part.replace(path)


def tables(kept: list[dict]) -> bool:
    """Writes all runs, and the automatic one of each set beside the grid's best; whether all are within the bound."""
    rows = sorted(kept, key=lambda row: (auto_sets.SETS.index(row["set"]), row["head_init"], row["lr"]))
    lines = [[value(row[column]) for column in COLUMNS] for row in rows]
    write(TABLE / "runs.csv", [COLUMNS, *lines])
    summary, within = [["set", "rule", "best_lr", "best_head", "best", "auto_lr", "auto_head_lr", "auto", "points"]], True
    for name in auto_sets.SETS:
        grid = [row for row in rows if row["set"] == name and row["lr"] != "auto"]
        auto = next((row for row in rows if row["set"] == name and row["lr"] == "auto"), None)
        if len(grid) < len(GRID) or auto is None:
            within = False
            continue
        best = max(grid, key=lambda row: row["accuracy"])
        points = 100 * (auto["accuracy"] - best["accuracy"])
        within &= points >= -BOUND
        rule = "tuned on" if name in auto_sets.TUNED_ON else "checked on"
        line = [name, rule, best["lr"], best["head_init"], best["accuracy"]]
        line += [auto["used_lr"], auto["used_head_lr"], auto["accuracy"], points]
        summary.append([value(cell) for cell in line])
    write(TABLE / "summary.csv", summary)
    for row in summary:
        print(", ".join(row))
    return within


def value(cell: object) -> str:
    """Four digits of a number."""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def write(path: Path, rows: list[list[str]]) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
