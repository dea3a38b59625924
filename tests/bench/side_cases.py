"""The cases of the side-by-side comparison: real sets, cut to a few thousand examples, as CSV that all sides read alike."""

import csv
import random
from dataclasses import dataclass
from pathlib import Path

import ours

# Examples that choose the best epoch, taken from the training data.
CHOOSING = 400
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Case:
    """One recipe on one set; `metric` is what is compared, `pair` whether there are two texts."""

    name: str
    data: str
    strategy: str
    metric: str
    lr: float
    epochs: int
    size: int = 2000
    # Examples a class instead, of a few-shot case.
    shots: int = 0
    pair: bool = False
    batch: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_length: int = 128
    rank: int = 8
    alpha: int = 16


FULL = [
    Case("sst2", "sst2", "full", "accuracy", lr=5e-5, epochs=3),
    Case("clinc150", "clinc150", "full", "accuracy", lr=5e-4, epochs=10),
    Case("emotion", "emotion", "full", "macro_f1", lr=2e-4, epochs=5),
    Case("mrpc", "mrpc", "full", "f1", lr=5e-5, epochs=5, pair=True),
    Case("stsb", "stsb", "full", "pearson", lr=5e-5, epochs=5, pair=True),
]
LORA = [
    Case("sst2-lora", "sst2", "lora", "accuracy", lr=2e-3, epochs=3),
    Case("emotion-lora", "emotion", "lora", "macro_f1", lr=2e-3, epochs=5),
    Case("mrpc-lora", "mrpc", "lora", "f1", lr=2e-3, epochs=5, pair=True),
]
FEW = [
    Case("snips-8", "snips", "few", "accuracy", lr=2e-4, epochs=30, shots=8, batch=16, warmup=0.1),
    Case("snips-16", "snips", "few", "accuracy", lr=2e-4, epochs=20, shots=16, batch=16, warmup=0.1),
]
CASES = FULL + LORA + FEW


def files(case: Case, seed: int, folder: Path) -> dict[str, Path]:
    """`train`, `valid` and `test` of a case. The seed draws the few examples of a few-shot case, and nothing of the others; the test
    file is the set's own development or validation part, whole."""
    train, test = READERS[case.data](ours.shared() / "data" / "text")
    place = folder / (f"{case.name}-{seed}" if case.shots else case.data)
    random.Random(seed if case.shots else 0).shuffle(train)
    if case.shots:
        chosen, seen = [], {}
        for row in train:
            seen[row[-1]] = seen.get(row[-1], 0) + 1
            if seen[row[-1]] <= case.shots:
                chosen.append(row)
        # Nothing is left over to choose an epoch by: the last one counts on all sides.
        return {"train": write(place / "train.csv", chosen), "test": write(place / "test.csv", test)}
    return {
        "train": write(place / "train.csv", train[CHOOSING : CHOOSING + case.size]),
        "valid": write(place / "valid.csv", train[:CHOOSING]),
        "test": write(place / "test.csv", test),
    }


def write(path: Path, rows: list[list[str]]) -> Path:
    """Writes rows as CSV, complete or not at all; two texts of a row in two columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        header = ["text", "label"] if len(rows[0]) == 2 else ["text", "pair", "label"]
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    part.replace(path)
    return path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of such a file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tabs(path: Path) -> list[list[str]]:
    """The rows of a file with tabs below its header; such files quote nothing."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.split("\t") for line in lines[1:] if line]


def sst2(text: Path):
    """SST-2: sentence, label."""
    return ([[row[0].strip(), row[1]] for row in tabs(text / "sst2_glue" / f"{part}.tsv")] for part in ("train", "dev"))


def clinc150(text: Path):
    """CLINC150's 150 classes, without what is out of scope."""
    import json

    whole = json.loads((text / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    return whole["train"], whole["val"]


def emotion(text: Path):
    """Emotion: text;label."""
    def rows(part: str) -> list[list[str]]:
        lines = (text / "emotion" / f"{part}.txt").read_text(encoding="utf-8").splitlines()
        return [line.rsplit(";", 1) for line in lines if ";" in line and line != "text;label_name"]

    return rows("train"), rows("val")


def mrpc(text: Path):
    """MRPC: two sentences, and whether they say the same."""
    return ([[row[3], row[4], row[0]] for row in tabs(text / "mrpc" / f"{part}.tsv")] for part in ("train", "dev"))


def stsb(text: Path):
    """STS-B: two sentences and a score from 0 to 5."""
    return ([[row[7], row[8], row[9]] for row in tabs(text / "stsb" / f"{part}.tsv")] for part in ("train", "dev"))


def snips(text: Path):
    """SNIPS: text,label."""
    return ([[row["text"], row["label"]] for row in read(text / "snips" / f"{part}.csv")] for part in ("train", "validate"))


READERS = {"sst2": sst2, "clinc150": clinc150, "emotion": emotion, "mrpc": mrpc, "stsb": stsb, "snips": snips}
