"""Sentences of mixed lengths for the numerical checks, as JSON lines of `text` and `label` (a class id)."""

import json
import random
from pathlib import Path

import accuracy_cases
import ours

CLASSES = 6


def write(path: Path, count: int, seed: int = 7) -> Path:
    """`count` sentences of SNIPS' first six intents; every sixteenth is many sentences joined to 150–230
    words, every fifth is cut to its first word."""
    texts, labels = accuracy_cases.read(ours.shared() / "data" / "text" / "snips" / "train.csv")
    names = sorted(set(labels))[:CLASSES]
    pool = [(text, names.index(label)) for text, label in zip(texts, labels, strict=True) if label in names]
    rng = random.Random(seed)
    lines = []
    for row, (text, label) in enumerate(rng.sample(pool, count)):
        if row % 16 == 3:
            words = rng.randint(150, 230)
            while len(text.split()) < words:
                text += " " + rng.choice(pool)[0]
        elif row % 5 == 1:
            text = text.split()[0]
        lines.append(json.dumps({"text": text, "label": label}, ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> tuple[list[str], list[int]]:
    """Texts and class ids of a file that `write` made."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], [row["label"] for row in rows]
