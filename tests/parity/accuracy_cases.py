"""The cases of the accuracy comparison, and their data as CSV that both sides read alike."""

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path

import ours


@dataclass(frozen=True)
class Case:
    """One recipe on one data set. `bound` is the largest accepted gap of the accuracies, in points."""

    name: str
    data: str
    strategy: str
    epochs: int
    lr: float
    seeds: tuple[int, ...]
    bound: float
    floor: float = 0.0
    batch: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    max_length: int = 256


CASES = [
    Case("snips", "snips", "full", epochs=2, lr=5e-5, seeds=(1, 2), bound=0.7, floor=0.98),
    Case("sst2-10k", "sst2-10k", "full", epochs=3, lr=5e-5, seeds=(1,), bound=1.0),
    Case("clinc150-full", "clinc150", "full", epochs=5, lr=1e-4, seeds=(1,), bound=1.0),
    # A frozen backbone leaves a convex problem: at this rate and length AdamW has all but solved it.
    Case("clinc150-probe", "clinc150", "probe", epochs=30, lr=1e-2, seeds=(1,), bound=1.0),
]


def files(data: str, folder: Path) -> dict[str, Path]:
    """The `train`, `valid` and, where there is one, `test` file of a data set, converted on first use."""
    text = ours.shared() / "data" / "text"
    if data == "snips":
        return {"train": text / "snips" / "train.csv", "valid": text / "snips" / "validate.csv"}
    if data == "clinc150":
        return clinc150(text / "clinc150" / "data_full.json", folder / data)
    if data == "sst2-10k":
        return sst2(text / "sst2_glue", folder / data)
    raise SystemExit(f"no data set called {data}")


def clinc150(source: Path, folder: Path) -> dict[str, Path]:
    """CLINC150's 150 in-scope classes; its out-of-scope sentences have keys of their own and stay out."""
    parts = {"train": "train", "valid": "val", "test": "test"}
    whole = json.loads(source.read_text(encoding="utf-8"))
    return {part: write(folder / f"{part}.csv", whole[key]) for part, key in parts.items()}


def sst2(source: Path, folder: Path, size: int = 10_000, seed: int = 0) -> dict[str, Path]:
    """The first `size` training sentences after a seeded shuffle, and the whole of `dev.tsv`."""
    rows = {part: tsv(source / f"{part}.tsv") for part in ("train", "dev")}
    random.Random(seed).shuffle(rows["train"])
    return {
        "train": write(folder / "train.csv", rows["train"][:size]),
        "valid": write(folder / "valid.csv", rows["dev"]),
    }


def tsv(path: Path) -> list[list[str]]:
    """The rows of a GLUE file below its header; GLUE quotes nothing, so a quote is a character."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [[text.strip(), label] for text, label in rows[1:]]


def write(path: Path, rows: list[list[str]]) -> Path:
    """Writes `text,label` rows as CSV unless the file is there already; complete or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["text", "label"], *rows])
        part.replace(path)
    return path


def read(path: Path) -> tuple[list[str], list[str]]:
    """Texts and label names of a `text,label` CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]
