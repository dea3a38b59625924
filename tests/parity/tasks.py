"""Values, several labels, and weighted, smoothed classes: runs on real data beside PyTorch, and what they save in transformers.

Of each task, ten steps on all of 8 examples, from a head of zeros and without dropout, against the loss that transformers
takes; then a probe, whose model transformers opens with equal logits and whose scores scikit-learn and SciPy give too.

Usage: python tests/parity/tasks.py
"""

import csv
import json
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn import metrics
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

import compare
import ours

FOLDER = ours.SCRATCH / "tasks"
STEPS, EXAMPLES, LR = 10, 8, 1e-4
SMOOTHING = 0.1


def main() -> None:
    """Checks all tasks; exits 1 when one differs."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    backbone = without_dropout()
    # Every task reports, also after a failure.
    passed = [compare.report(*task(backbone)) for task in (regression, multi_label, weighted)]
    compare.finish(all(passed))


def without_dropout() -> Path:
    """The real backbone with dropout off, so that both sides take the same steps."""
    folder = FOLDER / "backbone"
    shutil.copytree(ours.backbone(), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def regression(backbone: Path) -> tuple[str, list[compare.Row]]:
    """STS-B's pairs with scores from 0 to 5."""
    folder = ours.shared() / "data" / "text" / "stsb"
    train, test = [stsb(folder / f"{name}.tsv", count) for name, count in (("train", 200), ("dev", 100))]
    columns = ["sentence1", "sentence2", "score"]
    write("stsb", columns, train, test)
    flags = ["--pair-column", "sentence2", "--text-column", "sentence1", "--label-column", "score"]
    pairs, values = [row[:2] for row in train[:EXAMPLES]], torch.tensor([float(row[2]) for row in train[:EXAMPLES]])
    rows = steps(backbone, "stsb", flags, pairs, {"num_labels": 1, "problem_type": "regression"}, values)
    results, found, theirs, config = run("stsb", flags, [row[:2] for row in test])
    rows += compare.equal("problem_type", [config.problem_type, config.num_labels], ["regression", 1])
    rows += compare.close("logits", found, theirs)
    rows += compare.equal("id2label", list(config.id2label.values()), ["LABEL_0"])
    z, y = found[:, 0], np.array([float(row[2]) for row in test])
    scores = {
        "pearson": stats.pearsonr(z, y)[0],
        "spearman": stats.spearmanr(z, y)[0],
        "rmse": metrics.mean_squared_error(y, z) ** 0.5,
        "mae": metrics.mean_absolute_error(y, z),
        "r2": metrics.r2_score(y, z),
    }
    rows += same(scores, results["test"])
    return "Regression: STS-B", rows


def stsb(path: Path, count: int) -> list[list[str]]:
    """Pairs with their scores, evenly spread over a file."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    picked = [lines[row * len(lines) // count] for row in range(count)]
    return [line[7:10] for line in picked]


def multi_label(backbone: Path) -> tuple[str, list[compare.Row]]:
    """Two of CLINC150's questions in one text, labelled with the domains of both; every seventh is out of scope, with none."""
    data = json.loads((ours.shared() / "data" / "text" / "clinc150" / "data_full.json").read_text())
    domains = json.loads((ours.shared() / "data" / "text" / "clinc150" / "domains.json").read_text())
    domain = {intent: name for name, intents in domains.items() for intent in intents}
    rng = random.Random(3)

    def texts(split: str, count: int) -> list[tuple[str, list[str]]]:
        rows, strange = rng.sample(data[split], 2 * count), rng.sample(data[f"oos_{split}"], 100)
        made = []
        for row in range(count):
            (one, a), (two, b) = rows[2 * row], rows[2 * row + 1]
            labels = sorted({domain[a], domain[b]})
            made.append((strange[row % 100][0], []) if row % 7 == 6 else (f"{one} {two}", labels))
        return made

    train, test = texts("train", 200), texts("test", 100)
    for name, rows in (("train", train), ("few", train[:EXAMPLES]), ("test", test)):
        lines = [json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows]
        (FOLDER / f"clinc-{name}.jsonl").write_text("".join(lines))
    names = sorted({label for _, labels in train[:EXAMPLES] for label in labels})
    hot = torch.tensor([[float(name in labels) for name in names] for _, labels in train[:EXAMPLES]])
    texts_of = [text for text, _ in train[:EXAMPLES]]
    settings = {"num_labels": len(names), "problem_type": "multi_label_classification"}
    rows = steps(backbone, "clinc", [], texts_of, settings, hot)
    results, found, theirs, config = run("clinc", [], [text for text, _ in test])
    rows += compare.equal("problem_type", [config.problem_type], ["multi_label_classification"])
    rows += compare.close("logits", found, theirs)
    names = list(config.id2label.values())
    truth = np.array([[name in labels for name in names] for _, labels in test])
    p = 1 / (1 + np.exp(-found.astype(np.float64)))
    thresholds = json.loads((FOLDER / "clinc-run" / "thresholds.json").read_text())
    for kind, at in (("at 0.5", 0.5), ("tuned", np.array([thresholds[name] for name in names]))):
        expected = results["test"] if kind == "at 0.5" else results["test"]["tuned"]
        said = p >= at
        scores = {
            "micro_f1": metrics.f1_score(truth, said, average="micro", zero_division=0),
            "macro_f1": metrics.f1_score(truth, said, average="macro", zero_division=0),
            "subset_accuracy": metrics.accuracy_score(truth, said),
            "hamming_loss": metrics.hamming_loss(truth, said),
        }
        rows += same(scores, expected, f"{kind}: ")
    rows += same({"average_precision": metrics.average_precision_score(truth, found)}, results["test"])
    return "Several labels: two questions of CLINC150", rows


def weighted(backbone: Path) -> tuple[str, list[compare.Row]]:
    """MRPC's pairs, the rarer class counting twice, labels smoothed."""
    folder = ours.shared() / "data" / "text" / "mrpc"

    def pairs(name: str, count: int) -> list[list[str]]:
        lines = (folder / f"{name}.tsv").read_text(encoding="utf-8-sig").splitlines()[1:]
        return [[line.split("\t")[3], line.split("\t")[4], line.split("\t")[0]] for line in lines[:count]]

    train, test = pairs("train", 120), pairs("dev", 80)
    write("mrpc", ["sentence1", "sentence2", "label"], train, test)
    flags = ["--class-weights", "0=2,1=0.75", "--label-smoothing", SMOOTHING]
    labels = torch.tensor([int(row[2]) for row in train[:EXAMPLES]])
    rows = steps(backbone, "mrpc", flags, [row[:2] for row in train[:EXAMPLES]], {"num_labels": 2}, labels)
    results, found, theirs, config = run("mrpc", flags, [row[:2] for row in test])
    rows += compare.equal("problem_type", [config.problem_type], ["single_label_classification"])
    rows += compare.close("logits", found, theirs)
    truth = [int(row[2]) for row in test]
    rows += compare.equal("positive class", [results["test"]["positive_class"]], ["1"])
    rows += same({"f1_positive": metrics.f1_score(truth, found.argmax(-1))}, results["test"])
    return "Weighted and smoothed classes: MRPC", rows


def write(name: str, columns: list[str], train: list[list[str]], test: list[list[str]]) -> None:
    """Tables of all training rows, of the first few, and of the test rows."""
    for part, rows in (("train", train), ("few", train[:EXAMPLES]), ("test", test)):
        with (FOLDER / f"{name}-{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def place(name: str, part: str) -> Path:
    """The table of a part."""
    return next(FOLDER.glob(f"{name}-{part}.*"))


def steps(backbone: Path, name: str, flags: list, texts: list, settings: dict, targets: torch.Tensor) -> list[compare.Row]:
    """The losses of ten full-batch AdamW steps at a constant rate from a head of zeros, ours against transformers'."""
    out, few = FOLDER / f"{name}-steps", place(name, "few")
    course = ["--epochs", STEPS, "--batch-size", EXAMPLES, "--lr", LR, "--schedule", "constant", "--warmup", 0, "--clip", 0]
    places = ["--model", backbone, "--train", few, "--valid", few, "--head-init", "zero", "--log-every", 1, "--output", out]
    ours.run(ours.program(), "finetune", *places, *course, *flags, "--quiet", stdout=subprocess.DEVNULL)
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        found = np.array([float(row["loss"]) for row in csv.DictReader(file)])
    model = AutoModelForSequenceClassification.from_pretrained(backbone, dtype=torch.float32, **settings).train()
    for parameter in model.classifier.parameters():
        torch.nn.init.zeros_(parameter)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    batch = tokenizer(*columns(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
    plain = [key for key, _ in model.named_parameters() if key.endswith("bias") or "LayerNorm" in key]
    groups = [
        {"params": [p for key, p in model.named_parameters() if (key in plain) == bare], "weight_decay": decay}
        for bare, decay in ((False, 0.01), (True, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.999), eps=1e-8)
    theirs = []
    for _ in range(STEPS):
        if "problem_type" in settings:
            loss = model(**batch, labels=targets).loss
        else:
            loss = cross_entropy(
                model(**batch).logits, targets, weight=torch.tensor([2.0, 0.75]), label_smoothing=SMOOTHING
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())
    return compare.losses(found, np.array(theirs))


def run(name: str, flags: list, texts: list) -> tuple[dict, np.ndarray, np.ndarray, object]:
    """A probe on the real backbone: its results, our and transformers' logits of the test texts, the configuration."""
    out, test = FOLDER / f"{name}-run", place(name, "test")
    places = ["--model", ours.backbone(), "--train", place(name, "train"), "--test", test, "--output", out]
    ours.run(ours.program(), "finetune", *places, "--strategy", "probe", *flags, "--quiet", stdout=subprocess.DEVNULL)
    reading = [flag for flag in flags if flag in ("--pair-column", "--text-column")]
    reading = [word for flag in reading for word in (flag, flags[flags.index(flag) + 1])]
    done = ours.run(
        ours.program(), "predict", "--model", out, "--input", test, *reading, "--quiet", stdout=subprocess.PIPE, text=True
    )
    found = np.array([json.loads(line)["logits"] for line in done.stdout.splitlines()])
    model = AutoModelForSequenceClassification.from_pretrained(out).eval()
    tokenizer = AutoTokenizer.from_pretrained(out)
    theirs = []
    with torch.no_grad():
        for first in range(0, len(texts), 40):
            part = columns(texts[first : first + 40])
            batch = tokenizer(*part, padding=True, truncation=True, max_length=256, return_tensors="pt")
            theirs.append(model(**batch).logits.numpy())
    return json.loads((out / "results.json").read_text()), found, np.concatenate(theirs), model.config


def columns(texts: list) -> list[list[str]]:
    """The first texts, and of pairs the second ones too."""
    return [list(column) for column in zip(*texts, strict=True)] if isinstance(texts[0], list) else [texts]


def same(expected: dict, found: dict, prefix: str = "") -> list[compare.Row]:
    """Scores within the rounding of predictions to single precision and text."""
    return [compare.measured(f"{prefix}{name}", abs(found[name] - value), 1e-6) for name, value in expected.items()]


if __name__ == "__main__":
    main()
