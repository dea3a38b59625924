"""How the time and the memory of small transformers grow with the batch, the depth, the width and the length.

Along each axis everything else is fixed. A point is a step (forward, backward, AdamW) of a BERT classifier with random weights;
along the length, also a forward pass alone. Rounds go through all points of an axis, each in a process of its own: `ms` is the
median over the steps of all rounds but the first of each, `ms_low` and `ms_high` are the rounds' own lowest and highest
medians, `mb` is the largest peak. `gflop` counts the matrix products, a step as three forward passes; what a backward pass
computes again is not counted. More tokens in sentences of one length are a larger batch, hence no axis.

`mb_constant` is what does not grow: where the least-squares line through the axis's points begins. With the width the weights
grow too, by its square: there it is what the same model needs for a step on eight tokens.

`--check` reads the recorded table: time must follow the operations, memory a straight line. It also adds what a program that
keeps the scores of a single head would need, and fails unless the bounds refuse that.

Usage: python tests/bench/growth.py [--only AXIS…] [--rounds 3] | --check
"""

import argparse
import csv
import math
import statistics
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity")]

import numpy as np
import ours
import record
import subjects
import torch
from measure import measured
from steps import EXAMPLE, RATE, transformer
from transformers import BertConfig, BertForSequenceClassification

THREADS = 2
TABLE = "growth.csv"
# Few words, so that their table does not hide what grows.
WORDS = 1000
HEAD = 64
# A process repeats until it has done so many operations, within these limits: short steps vary more.
WORK = 4e11
REPEATS = (4, 20)

# Largest exponent of time against operations, between an axis's last two points.
TIME = {"batch": 1.15, "depth": 1.15}
# Largest distance of a point's memory from the line, as a share of that memory.
LINE = {"batch": 0.1, "depth": 0.1, "length": 0.1}
# Largest ratio of what a token needs between 4,096 and 8,192 tokens to what one needs between 1,024 and 2,048.
STEEPER = {"length": 1.25}


class Point(NamedTuple):
    """One model and one batch."""

    batch: int
    length: int
    depth: int
    width: int


AXES = {
    "batch": [Point(batch, 64, 4, 256) for batch in (4, 8, 16, 32, 64)],
    "depth": [Point(16, 64, depth, 256) for depth in (2, 4, 8, 16)],
    "width": [Point(16, 64, 4, width) for width in (128, 256, 512, 1024)],
    "length": [Point(1, length, 2, 128) for length in (512, 1024, 2048, 4096, 8192)],
}
MODES = {axis: ("step", "forward") if axis == "length" else ("step",) for axis in AXES}


class Finding(NamedTuple):
    """A number that the table gives, and the largest that is allowed."""

    what: str
    found: float
    bound: float | None


def main() -> None:
    """Measures and prints; writes the table when every axis ran. Or checks the one that is recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--only", nargs="+", choices=list(AXES), default=list(AXES), help="these axes alone")
    either.add_argument("--check", action="store_true", help="measure nothing, check the recorded table")
    parser.add_argument("--rounds", type=int, default=3, help="processes a point")
    args = parser.parse_args()
    if args.check:
        raise SystemExit(check(recorded()))
    rows = []
    for axis in AXES:
        if axis in args.only:
            for mode in MODES[axis]:
                found = grow(axis, mode, args.rounds)
                for row in found:
                    record.show(row)
                rows += found
    if set(args.only) == set(AXES):
        record.write(TABLE, rows)
    for finding in findings(rows):
        tell(finding)


def grow(axis: str, mode: str, rounds: int) -> list[dict]:
    """The rows of an axis."""
    points = AXES[axis]
    # A model of a position table as long as its axis needs: that table costs AdamW time at every point.
    room = max(point.length for point in points)
    models = [classifier(point, room) for point in points]
    runs = [[] for _ in points]
    for _ in range(rounds):
        for point, model, found in zip(points, models, runs, strict=True):
            found.append(one(mode, point, model))
    memory = [max(run[1] for run in found) for found in runs]
    values = [getattr(point, axis) for point in points]
    if axis == "width":
        short = [point._replace(batch=1, length=8) for point in points]
        constants = [one(mode, point, model)[1] for point, model in zip(short, models, strict=True)]
    else:
        constants = [line(values, memory)[0]] * len(points)
    rows = []
    for point, found, mb, constant in zip(points, runs, memory, constants, strict=True):
        medians = [statistics.median(seconds) for seconds, _ in found]
        rows.append(
            {"axis": axis, "mode": mode}
            | point._asdict()
            | {
                "gflop": f"{operations(mode, point) / 1e9:.3f}",
                "ms": f"{1000 * statistics.median([s for seconds, _ in found for s in seconds]):.2f}",
                "ms_low": f"{1000 * min(medians):.2f}",
                "ms_high": f"{1000 * max(medians):.2f}",
                "mb": f"{mb:.2f}",
                "mb_above_first": f"{mb - memory[0]:.2f}",
                "mb_constant": f"{constant:.2f}",
            }
        )
    return rows


def one(mode: str, point: Point, model: Path) -> tuple[list[float], float]:
    """Seconds of a process's repetitions without the first, and its peak memory in MB."""
    repeats = min(max(int(WORK / operations(mode, point)), REPEATS[0]), REPEATS[1])
    given = [mode, "--model", model, "--batch", sentences(point), "--steps", repeats]
    if mode == "step":
        given += ["--lr", RATE]
    done = measured([*EXAMPLE, *given], THREADS)
    return [float(said.split()[0]) for said in done.output.splitlines()][1:], done.memory


def operations(mode: str, point: Point) -> float:
    """Floating-point operations of the matrix products."""
    batch, length, depth, width = point
    return transformer(batch * length, length, depth, width, 4 * width) * (3 if mode == "step" else 1)


def classifier(point: Point, room: int) -> Path:
    """A BERT of the point's shape that takes up to `room` tokens."""
    folder = subjects.STORE / f"bert-{point.depth}x{point.width}-{room}"
    if not (folder / "config.json").is_file():
        torch.manual_seed(1)
        config = BertConfig(
            vocab_size=WORDS, hidden_size=point.width, num_hidden_layers=point.depth,
            num_attention_heads=point.width // HEAD, intermediate_size=4 * point.width, max_position_embeddings=room,
            num_labels=subjects.CLASSES,
        )  # fmt: skip
        model = BertForSequenceClassification(subjects.still(config))
        subjects.save(model, folder, ours.backbone() / "tokenizer.json")
    return folder


def sentences(point: Point) -> Path:
    """Random words."""
    ids = np.random.default_rng(2).integers(0, WORDS, (point.batch, point.length))
    return subjects.written(f"few-words-{point.batch}x{point.length}", {"ids": ids})


def line(values: list[float], memory: list[float]) -> tuple[float, float]:
    """Beginning and slope of the least-squares line."""
    slope, beginning = np.polyfit(values, memory, 1)
    return float(beginning), float(slope)


def findings(rows: list[dict]) -> Iterator[Finding]:
    """What each axis says about its growth."""
    for (axis, mode), part in groupby(rows, lambda row: (row["axis"], row["mode"])):
        part = list(part)
        number = {key: [float(row[key]) for row in part] for key in part[0] if key not in ("axis", "mode")}
        values, memory, case = number[axis], number["mb"], f"{axis}, {mode}"
        growing = [mb - constant for mb, constant in zip(memory, number["mb_constant"], strict=True)]
        time = exponent(number["gflop"], number["ms"])
        yield Finding(f"{case}: exponent of time against operations", time, TIME.get(axis))
        yield Finding(f"{case}: exponent of memory above the constant", exponent(values, growing), None)
        if axis in LINE:
            beginning, slope = line(values, memory)
            off = [abs(mb - beginning - slope * value) / mb for value, mb in zip(values, memory, strict=True)]
            yield Finding(f"{case}: memory's largest distance from the line", max(off), LINE[axis])
        if axis in STEEPER:
            # Differences have no constant. The line's own would bend with what it should be held against.
            yield Finding(f"{case}: a late token's memory over an early one's", steeper(values, memory), STEEPER[axis])


def exponent(x: list[float], y: list[float]) -> float:
    """The power of x that y grows by, between the last two points."""
    return math.log(y[-1] / y[-2]) / math.log(x[-1] / x[-2])


def steeper(values: list[float], memory: list[float]) -> float:
    """Memory a token between the last two points over that between the second and the third."""
    slopes = np.diff(memory) / np.diff(values)
    return float(slopes[-1] / slopes[1])


def recorded() -> list[dict]:
    """The table; one that lacks a point ends the check."""
    if not (record.FOLDER / TABLE).is_file():
        raise SystemExit(f"no {TABLE} in {record.FOLDER}: measure first")
    with (record.FOLDER / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [(axis, mode, *map(str, point)) for axis in AXES for mode in MODES[axis] for point in AXES[axis]]
    if [tuple(row[key] for key in ("axis", "mode", *Point._fields)) for row in rows] != wanted:
        raise SystemExit(f"{TABLE} has other points than this benchmark: measure again")
    return rows


def check(rows: list[dict]) -> int:
    """1 where the table breaks a bound, or where a bound on memory lets quadratic growth pass."""
    broken = [finding for finding in findings(rows) if not tell(finding)]
    long = [row for row in rows if row["axis"] == "length"]
    # Four bytes for each pair of tokens.
    scores = [row | {"mb": float(row["mb"]) + 4e-6 * int(row["length"]) ** 2} for row in long]
    blind = [f for f in findings(scores) if "memory" in f.what and f.bound is not None and f.found <= f.bound]
    for finding in blind:
        print(f"with the scores of one head the bound would still hold: {finding.what}, {finding.found:.3f}")
    return 1 if broken or blind else 0


def tell(finding: Finding) -> bool:
    """Prints a finding; whether it keeps its bound."""
    kept = finding.bound is None or finding.found <= finding.bound
    bound = "" if finding.bound is None else f", at most {finding.bound}: {'kept' if kept else 'BROKEN'}"
    print(f"{finding.what}: {finding.found:.3f}{bound}")
    return kept


if __name__ == "__main__":
    main()
