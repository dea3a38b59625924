"""The bounds that our results keep to PyTorch's, and nothing else: plain functions on named arrays.

Each returns rows; a shape or a name that differs is a row that does not hold.
"""

import csv
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One comparison: what was compared, what was found, its bound, and how much of the bound is used up."""

    what: str
    found: str
    bound: str
    holds: bool
    used: float = 0.0


def measured(what: str, found: float, bound: float) -> Row:
    """A row of a number and its bound; a NaN is below no bound."""
    return Row(what, f"{found:.2e}", f"{bound:.2e}", found <= bound, found / bound if bound else math.inf)


def shapes(what: str, ours: np.ndarray, theirs: np.ndarray) -> Row:
    """The row of two arrays that cannot be compared."""
    return Row(what, f"shape {ours.shape}", f"shape {theirs.shape}", False)


VALUE = 1e-4
GRADIENT = 1e-3
GRADIENT_FLOOR = 1e-6
LOSS = 1e-3


def close(what: str, ours: np.ndarray, theirs: np.ndarray, bound: float = VALUE) -> list[Row]:
    """Largest absolute difference of two arrays of the same shape."""
    if ours.shape != theirs.shape:
        return [shapes(what, ours, theirs)]
    # In f64, so that the difference itself is exact.
    worst = float(np.max(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)), initial=0.0))
    return [measured(f"{what}, max abs", worst, bound)]


def equal(what: str, ours: list, theirs: list) -> list[Row]:
    """Two lists that have to be the same."""
    if ours == theirs:
        return [Row(what, f"{len(ours)} equal", "equal", True)]
    apart = ", ".join(map(str, sorted(set(ours) ^ set(theirs)))) or "the same in another order"
    return [Row(what, apart[:200], "equal", False)]


def gradients(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[Row]:
    """Every gradient within `1e-3` of its own norm plus `1e-6` of the largest norm of the model.

    The second term is for gradients that are zero in exact arithmetic, as that of a key's bias: there both
    sides hold rounding noise alone. The tensors that have a gradient must be the same on both sides.
    """
    rows = equal("tensors with a gradient", sorted(ours), sorted(theirs))
    largest = max(norm(gradient) for gradient in theirs.values())
    for name in sorted(set(ours) & set(theirs)):
        if ours[name].shape != theirs[name].shape:
            rows.append(shapes(name, ours[name], theirs[name]))
            continue
        apart = norm(ours[name].astype(np.float64) - theirs[name].astype(np.float64))
        bound = GRADIENT * norm(theirs[name]) + GRADIENT_FLOOR * largest
        rows.append(measured(name, apart, bound))
    return rows


def losses(ours: np.ndarray, theirs: np.ndarray) -> list[Row]:
    """Each step's loss to `1e-3` relative."""
    if ours.shape != theirs.shape:
        return [shapes("losses", ours, theirs)]
    rows = []
    for step, (our, their) in enumerate(zip(ours.tolist(), theirs.tolist(), strict=True), start=1):
        what = f"loss of step {step}: {our:.6f}, {their:.6f}"
        rows.append(measured(what, abs(our - their) / abs(their), LOSS))
    return rows


def norm(array: np.ndarray) -> float:
    """Euclidean norm in f64."""
    return math.sqrt(float(np.sum(np.square(array.astype(np.float64)))))


def report(title: str, rows: list[Row], most: int = 40) -> bool:
    """Prints the rows as a table and says whether all hold; of more than `most`, those that fail and those
    nearest to their bounds."""
    shown = rows
    if len(rows) > most:
        nearest = sorted((row for row in rows if row.holds), key=lambda row: -row.used)[:10]
        shown = [row for row in rows if not row.holds or row in nearest]
    width = max(len(row.what) for row in shown)
    print(f"\n{title}")
    for row in shown:
        print(f"  {row.what:<{width}}  {row.found:>12}  {row.bound:>12}  {'ok' if row.holds else 'FAILS'}")
    failures = sum(not row.holds for row in rows)
    print(f"  {len(rows) - failures} of {len(rows)} hold; {len(rows) - len(shown)} not shown", flush=True)
    return failures == 0


def record(folder: Path, name: str, title: str, rows: list[Row]) -> None:
    """Writes all rows to `name.csv`, and as a table under their title to `name.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = [(row.what, row.found, row.bound, "yes" if row.holds else "NO") for row in rows]
    head = ("what", "found", "bound", "holds")
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *cells])
    lines = [" | ".join(line) for line in (head, ("---", "---:", "---:", "---"), *cells)]
    text = f"### {title}\n\n" + "".join(f"| {line} |\n" for line in lines)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def finish(passed: bool) -> None:
    """Ends the check with exit code 0 or 1."""
    print("PASSED" if passed else "FAILED")
    sys.exit(0 if passed else 1)
