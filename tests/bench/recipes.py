"""Whole processes against PyTorch's, from start to what is saved: the SNIPS recipe, a probe, prediction,
the program's own start.

The recipe is that of `experiments/finetune-accuracy`: all-MiniLM-L6-v2, two epochs of 13,084 sentences in batches of 32, with
dropout, validated after each epoch. PyTorch runs it as a plain loop with dynamic padding and by transformers' Trainer. Two
threads each; rounds alternate. The probe runs the backbone once and trains the head on its features. Accuracy stands beside the time.

Usage: python tests/bench/recipes.py [--rounds 1] [--only recipe|probe|predict|start …]
"""

import argparse
import csv
import json
import shutil
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity")]

import accuracy_cases
import ours
import record
from measure import Measured, measured, until

STORE = ours.SCRATCH / "speed"
THREADS = 2
RECIPE = ("--epochs", 2, "--lr", 5e-5, "--max-length", 256, "--seed", 1)


def main() -> None:
    """Prints the rows, and writes them: those of the parts that ran, beside what is recorded of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    args = parser.parse_args()
    recorded = record.read("recipes.csv")
    for part in PARTS:
        rows = []
        for row in PARTS[part](args.rounds) if part in args.only else ():
            rows.append({"part": part, **row})
            record.show(row)
        # All rows of a part are of one run.
        recorded = [row for row in recorded if not rows or row["part"] != part] + rows
    record.write("recipes.csv", sorted(recorded, key=lambda row: list(PARTS).index(row["part"])))


def row(case: str, side: str, runs: list[Measured], accuracy: str = "", note: str = "") -> dict:
    """A line of the table."""
    return {
        "case": case,
        "side": side,
        "threads": THREADS,
        "seconds": f"{statistics.median(run.seconds for run in runs):.3f}",
        "mb": f"{max(run.memory for run in runs):.0f}",
        "valid_accuracy": accuracy,
        "rounds": len(runs),
        "note": note,
    }


def recipe(rounds: int):
    """The recipe by each side; afterwards the ratios."""
    data = accuracy_cases.files("snips", STORE)
    given = ["--train", data["train"], "--valid", data["valid"]]
    sides = {
        "xexp": [*ours.program(), "finetune", "--model", ours.backbone(), *given, *RECIPE, "--quiet", "--overwrite"],
        "xexp, bf16": [
            *ours.program(), "finetune", "--model", ours.backbone(), *given, *RECIPE, "--quiet", "--overwrite",
            "--precision", "bf16",
        ],
        "PyTorch, loop": [sys.executable, HERE / "torch_recipe.py", "loop", *given],
        "transformers, Trainer": [sys.executable, HERE / "torch_recipe.py", "trainer", *given],
    }  # fmt: skip
    yield from trained("SNIPS, 2 epochs", "recipe", sides, rounds)


def probe(rounds: int):
    """A head on the frozen backbone: features once, then the head alone."""
    data = accuracy_cases.files("snips", STORE)
    given = ["--train", data["train"], "--valid", data["valid"]]
    sides = {
        "xexp": [
            *ours.program(), "finetune", "--strategy", "probe", "--model", ours.backbone(), *given, "--max-length", 256,
            "--seed", 1, "--quiet", "--overwrite",
        ],
        "PyTorch": [sys.executable, HERE / "torch_recipe.py", "probe", *given],
    }  # fmt: skip
    yield from trained("SNIPS, probe", "probe", sides, rounds)


def trained(case: str, folder: str, sides: dict[str, list], rounds: int):
    """A line a side: its runs, each to a folder of its own, and what the last wrote of its validation."""
    runs, accuracy = {side: [] for side in sides}, {}
    for _ in range(rounds):
        for side, line in sides.items():
            output = STORE / f"{folder}-{side.replace(', ', '-')}"
            if not side.startswith("xexp"):
                shutil.rmtree(output, ignore_errors=True)
            runs[side].append(measured([*line, "--output", output], THREADS))
            found = json.loads((output / "results.json").read_text(encoding="utf-8"))
            accuracy[side] = f"{found.get('valid', found)['accuracy']:.4f}"
    for side in sides:
        yield row(case, side, runs[side], accuracy[side])


def predict(rounds: int):
    """Labels of 10,000 sentences by the model of the recipe."""
    model = STORE / "recipe-xexp"
    texts, labels = accuracy_cases.read(accuracy_cases.files("snips", STORE)["train"])
    source = STORE / "sentences.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["text", "label"], *list(zip(texts, labels))[:10_000]])
    sides = {
        "xexp": [*ours.program(), "predict", "--quiet", "--overwrite"],
        "PyTorch": [sys.executable, HERE / "torch_recipe.py", "predict"],
    }
    runs, found = {side: [] for side in sides}, {}
    for _ in range(rounds):
        for side, line in sides.items():
            output = STORE / f"predict-{side}"
            line = [*line, "--model", model, "--input", source, "--output", output]
            runs[side].append(measured(line, THREADS))
            found[side] = predictions(output)
    same = sum(a == b for a, b in zip(*found.values(), strict=True))
    for side in sides:
        yield row("predict, 10,000 sentences", side, runs[side], note=f"{same} labels of 10000 are the same")


def predictions(output: Path) -> list[str]:
    """The labels that a side wrote."""
    if (output / "labels.txt").is_file():
        return (output / "labels.txt").read_text(encoding="utf-8").splitlines()
    lines = (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["label"] for line in lines]


def start(_: int):
    """How long the help takes; from the start of the recipe to its first step; and one whole step of few sentences."""
    yield row("help", "xexp", [measured([*ours.program(), "--help"], THREADS) for _ in range(20)])
    data = accuracy_cases.files("snips", STORE)
    output = STORE / "first-step"
    line = [
        *ours.program(), "finetune", "--model", ours.backbone(), "--train", data["train"], "--valid", data["valid"],
        *RECIPE, "--log-every", 1, "--quiet", "--overwrite", "--output", output,
    ]  # fmt: skip
    runs = [until(line, THREADS, output / "metrics.csv") for _ in range(5)]
    yield row("SNIPS, to the first step", "xexp", runs, note="until metrics.csv has its row")
    short = {}
    for part, path in data.items():
        short[part] = STORE / f"short-{part}.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        # 64 sentences, spread over the file so that all labels are there.
        short[part].write_text("".join([lines[0], *lines[1 :: max(1, len(lines) // 64)]]), encoding="utf-8")
    line = [
        *ours.program(), "finetune", "--model", ours.backbone(), "--train", short["train"], "--valid", short["valid"],
        "--max-steps", 1, "--batch-size", 32, "--quiet", "--overwrite", "--output", STORE / "one-step",
    ]  # fmt: skip
    runs = [measured(line, THREADS) for _ in range(5)]
    yield row("one step, whole process", "xexp", runs, note="64 sentences, validated and saved")


PARTS = {"recipe": recipe, "probe": probe, "predict": predict, "start": start}

if __name__ == "__main__":
    main()
