"""The comparisons of `transfer.py`: what is trained on what, and which learning rates are tried.

A case trains the bundled backbone (`pretrained`), the same architecture from random weights (`random`), or a bag of
words. Learning rates are chosen for each side apart, by validation accuracy of one seed; then five seeds are run.
"""

from typing import NamedTuple

SEEDS = (1, 2, 3, 4, 5)


class Case(NamedTuple):
    """One comparison on one set of training examples."""

    name: str
    model: str
    data: str
    # Training examples; none for all. They are drawn by class, 16 of each where the classes are equally large.
    limit: int | None
    # What stands on each side.
    sides: tuple[str, str]
    epochs: int
    batch: int
    rates: tuple[float, ...]
    # The gap that is asked for, in points of test accuracy.
    bound: float


CASES = (
    Case(
        "text-16", "bundled:mini-text", "bundled:shop-requests", 224,
        ("pretrained", "random"), 15, 16, (3e-4, 1e-3), 20.0,
    ),
    Case(
        "text-all", "bundled:mini-text", "bundled:shop-requests", None,
        ("pretrained", "bag of words"), 8, 32, (1e-4, 3e-4), 5.0,
    ),
    Case(
        "vision-16", "bundled:mini-vision", "bundled:symbols", 192,
        ("pretrained", "random"), 60, 32, (3e-4, 1e-3), 10.0,
    ),
)  # fmt: skip
