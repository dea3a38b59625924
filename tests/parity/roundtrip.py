"""Opens a folder that `xexp finetune` saved with transformers and compares logits with `xexp predict`.

Usage: python tests/parity/roundtrip.py FOLDER [--data FILE.csv] [--rows 200]
"""

import argparse
import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

import accuracy_cases
import compare
import ours


def main() -> None:
    """Checks one folder; exits 1 when transformers sees another model than we do."""
    snips = ours.shared() / "data" / "text" / "snips" / "validate.csv"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of a finished run")
    parser.add_argument("--data", type=Path, default=snips, help="text,label CSV to take sentences from")
    parser.add_argument("--rows", type=int, default=200, help="how many sentences")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    texts, labels = spread(args.data, args.rows)
    model, loading = AutoModelForSequenceClassification.from_pretrained(args.folder, output_loading_info=True)
    rows = keys(loading) + names(args.folder, model.config)
    known = set(model.config.label2id)
    rows += compare.equal("labels of the data that the model lacks", sorted(set(labels) - known), [])
    theirs = logits(model.eval(), AutoTokenizer.from_pretrained(args.folder), texts)
    found = predict(args.folder.resolve(), texts)
    ours_logits = np.array([one["logits"] for one in found])
    rows += compare.close(f"logits of {len(texts)} sentences", ours_logits, theirs)
    guesses = [model.config.id2label[guess] for guess in theirs.argmax(-1).tolist()]
    rows += same("predicted labels", [one["label"] for one in found], guesses)
    scores = torch.tensor(theirs).softmax(-1).max(-1).values.numpy()
    rows += compare.close("scores", np.array([one["score"] for one in found]), scores)
    compare.finish(compare.report(f"Round trip of {args.folder}", rows))


def spread(path: Path, count: int) -> tuple[list[str], list[str]]:
    """`count` rows of a file, evenly spread over it, so that a file sorted by class gives all classes."""
    texts, labels = accuracy_cases.read(path)
    picked = [row * len(texts) // count for row in range(count)]
    return [texts[row] for row in picked], [labels[row] for row in picked]


def keys(loading: dict) -> list[compare.Row]:
    """Every key of the file is the model's and every key of the model is in the file."""
    rows = []
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        rows += compare.equal(kind.replace("_", " "), sorted(map(str, loading.get(kind) or [])), [])
    return rows


def names(folder: Path, config) -> list[compare.Row]:
    """`id2label` and `label2id` of the configuration, against the lines of `labels.tsv`."""
    with (folder / "labels.tsv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    table = {int(line[0]): line[1] for line in lines if line and line[0].isdigit()}
    rows = same("id2label and labels.tsv", sorted(config.id2label.items()), sorted(table.items()))
    turned = sorted((index, name) for name, index in config.label2id.items())
    return rows + same("label2id and labels.tsv", turned, sorted(table.items()))


def same(what: str, found: list, expected: list) -> list[compare.Row]:
    """Two sequences that have to be the same, element by element; the first difference is shown."""
    for row, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return [compare.Row(f"{what}, element {row}", str(one), str(other), False)]
    return [compare.Row(what, f"{len(found)}", f"{len(expected)}", len(found) == len(expected) > 0)]


@torch.no_grad()
def logits(model, tokenizer, texts: list[str]) -> np.ndarray:
    """Transformers' logits, in padded batches."""
    found = []
    for first in range(0, len(texts), 32):
        batch = tokenizer(texts[first : first + 32], padding=True, truncation=True, return_tensors="pt")
        found.append(model(**batch).logits.float().numpy())
    return np.concatenate(found)


def predict(folder: Path, texts: list[str]) -> list[dict]:
    """What `xexp predict` prints for the same texts: a JSON object a line, in their order."""
    path = ours.SCRATCH / "roundtrip" / "input.csv"
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["text"], *([text] for text in texts)])
    command = ["predict", "--model", folder, "--input", path, "--text-column", "text"]
    done = ours.run(ours.program(), *command, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
