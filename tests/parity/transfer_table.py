"""The tables of the transfer comparison: a row a seed and side in `transfer.csv`, a row a case in `transfer.md`.

The interval of a gap comes from a bootstrap over seeds and test examples together: both sides are scored on the same
examples, so the examples are resampled in pairs. Source: the percentile interval of Efron 1979, 10,000 resamples.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transfer_cases import SEEDS, Case

RESAMPLES = 10_000


class Result(NamedTuple):
    """Hits `(seeds, test examples)` of both sides of a case, and what was chosen for each."""

    case: Case
    left: np.ndarray
    right: np.ndarray
    chosen: dict[str, str]


def gap(result: Result) -> tuple[float, float, float]:
    """Mean difference in points, and its 95 % interval."""
    difference = result.left.astype(np.float64) - result.right.astype(np.float64)
    random = np.random.default_rng(1)
    seeds, examples = difference.shape
    means = np.empty(RESAMPLES)
    for turn in range(RESAMPLES):
        rows = difference[random.integers(seeds, size=seeds)].mean(axis=0)
        means[turn] = rows[random.integers(examples, size=examples)].mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return 100 * float(difference.mean()), 100 * float(low), 100 * float(high)


def sentence(result: Result) -> str:
    """The finding of a case in a line."""
    mean, low, high = gap(result)
    sides = zip(result.case.sides, (result.left, result.right), strict=True)
    shown = ", ".join(f"{side} {100 * hits.mean():.1f} %" for side, hits in sides)
    return f"{result.case.name}: {shown}; gap {mean:+.1f} points ({low:+.1f} to {high:+.1f}), asked {result.case.bound:g}"


def passed(results: list[Result], probes: list[tuple[str, float, float]]) -> bool:
    """Whether every gap reaches its bound with its interval above 0, and every probe its own."""
    gaps = [gap(result) for result in results]
    wide = all(mean >= r.case.bound and low > 0 for (mean, low, _), r in zip(gaps, results, strict=True))
    return wide and all(accuracy >= bound for _, accuracy, bound in probes)


def write(folder: Path, results: list[Result], probes: list[tuple[str, float, float]], machine: str) -> None:
    """Writes both tables anew."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "transfer.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "side", "seed", "test_accuracy", "test_examples", "chosen"])
        for result in results:
            for side, hits in zip(result.case.sides, (result.left, result.right), strict=True):
                for seed, row in zip(SEEDS, hits, strict=True):
                    table.writerow([result.case.name, side, seed, f"{row.mean():.4f}", len(row), result.chosen[side]])
        for name, accuracy, _ in probes:
            table.writerow(["probe-snips", name, 42, f"{accuracy:.4f}", 700, "linear probe"])
    titles = ["case", "training examples", "sides", "test accuracy", "gap, points", "95 % interval", "asked", "holds"]
    lines = ["# What pretraining is worth", "", f"Machine: {machine}.", ""]
    lines += [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for result in results:
        case, (mean, low, high) = result.case, gap(result)
        spread = [f"{100 * h.mean():.1f} ({', '.join(f'{100 * r.mean():.1f}' for r in h)})" for h in (result.left, result.right)]
        chosen = [f"{side}: {result.chosen[side]}" for side in case.sides]
        holds = "yes" if mean >= case.bound and low > 0 else "NO"
        cells = [case.name, str(case.limit or "all"), "<br>".join(chosen), "<br>".join(spread)]
        cells += [f"{mean:+.1f}", f"{low:+.1f} to {high:+.1f}", f"{case.bound:g}", holds]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| linear probe on SNIPS | validation accuracy | asked |", "| --- | --- | --- |"]
    lines += [f"| {name} | {accuracy:.4f} | {bound or ''} |" for name, accuracy, bound in probes]
    lines += [
        "",
        "Test accuracy in per cent: mean over five seeds, and each. A seed draws the training examples (where not all",
        "are used), the head, the order and the dropout; the best epoch by macro-F1 on the validation split is kept.",
        "The interval is a bootstrap over seeds and test examples together.",
    ]
    (folder / "transfer.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
