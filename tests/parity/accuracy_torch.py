"""The transformers side of the accuracy comparison: a plain PyTorch loop under the recipe of a case."""

import copy
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_linear_schedule_with_warmup,
)

import accuracy_cases
from accuracy_cases import Case

THREADS = 2


def train(case: Case, seed: int, backbone: Path, files: dict[str, Path]) -> dict:
    """Trains one case with one seed and returns what was measured; as on our side, the best epoch by
    macro-F1 on the validation file is the result."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    began = time.monotonic()
    rows = {part: accuracy_cases.read(path) for part, path in files.items()}
    names = sorted(set(rows["train"][1]))
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    sets = {part: examples(tokenizer, case, names, *row) for part, row in rows.items()}
    model = AutoModelForSequenceClassification.from_pretrained(
        backbone, num_labels=len(names), dtype=torch.float32
    )
    pad = DataCollatorWithPadding(tokenizer)
    if case.strategy == "probe":
        sets = {part: featured(model, pad, part_set) for part, part_set in sets.items()}
        model, pad = Probe(model.classifier), Probe.collate
    fitted = fit(case, model, pad, sets, len(names))
    measured = {part: score(model, pad, sets[part], len(names)) for part in sets if part != "train"}
    if case.strategy == "probe":
        fitted["optimum"] = optimum(sets, len(names))
    return {
        **fitted,
        **measured,
        "train_examples": len(sets["train"]),
        "wall_seconds": time.monotonic() - began,
        "threads": THREADS,
        "torch": torch.__version__,
    }


def examples(tokenizer, case: Case, names: list[str], texts: list[str], labels: list[str]) -> list[dict]:
    """Tokenised examples without padding: the collator pads each batch to its own longest."""
    encoded = tokenizer(texts, truncation=True, max_length=case.max_length)
    ids = {name: index for index, name in enumerate(names)}
    return [
        {**{key: column[row] for key, column in encoded.items()}, "labels": ids[label]}
        for row, label in enumerate(labels)
    ]


def fit(case: Case, model, pad, sets: dict[str, list[dict]], classes: int) -> dict:
    """The training loop; leaves the weights of the best epoch in the model."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": case.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=case.lr, betas=(0.9, 0.999), eps=1e-8)
    per_epoch = -(-len(sets["train"]) // case.batch)
    steps = case.epochs * per_epoch
    schedule = get_linear_schedule_with_warmup(optimizer, round(case.warmup * steps), steps)
    seconds, best, epochs = 0.0, None, []
    for epoch in range(1, case.epochs + 1):
        model.train()
        began, order = time.monotonic(), torch.randperm(len(sets["train"])).tolist()
        for first in range(0, len(order), case.batch):
            batch = pad([sets["train"][row] for row in order[first : first + case.batch]])
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), case.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        seconds += time.monotonic() - began
        epochs.append(score(model, pad, sets["valid"], classes))
        print(f"{case.name} epoch {epoch}/{case.epochs} {seconds:.0f} s {epochs[-1]}", flush=True)
        if best is None or epochs[-1]["macro_f1"] > best[0]:
            best = (epochs[-1]["macro_f1"], epoch, copy.deepcopy(model.state_dict()))
    model.load_state_dict(best[2])
    return {"steps": steps, "train_seconds": seconds, "best_epoch": best[1], "last": epochs[-1]}


@torch.no_grad()
def score(model, pad, rows: list[dict], classes: int) -> dict:
    """Accuracy, macro-F1 and mean cross-entropy of labelled rows."""
    model.eval()
    # Batches of like lengths: padding changes the time alone.
    rows = sorted(rows, key=lambda row: len(row.get("input_ids", ())))
    counts, loss = torch.zeros(classes, classes), 0.0
    for first in range(0, len(rows), 64):
        batch = pad(rows[first : first + 64])
        logits = model(**batch).logits
        loss += cross_entropy(logits, batch["labels"], reduction="sum").item()
        for truth, guess in zip(batch["labels"].tolist(), logits.argmax(-1).tolist(), strict=True):
            counts[truth, guess] += 1
    hits = counts.diagonal()
    f1 = 2 * hits / (counts.sum(0) + counts.sum(1)).clamp(min=1)
    return {
        "accuracy": (hits.sum() / counts.sum()).item(),
        "macro_f1": f1.mean().item(),
        "loss": loss / len(rows),
    }


class Probe(torch.nn.Module):
    """A linear classifier on features that a frozen backbone gave once."""

    def __init__(self, classifier: torch.nn.Linear):
        super().__init__()
        self.classifier = classifier

    def forward(self, features, labels):
        """Logits and mean cross-entropy, named as transformers names them."""
        logits = self.classifier(features)
        return Output(cross_entropy(logits, labels), logits)

    @staticmethod
    def collate(rows: list[dict]) -> dict:
        """Stacks rows; features have one width, so there is nothing to pad."""
        return {
            "features": torch.stack([row["features"] for row in rows]),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }


class Output:
    """Loss and logits of a probe."""

    def __init__(self, loss, logits):
        self.loss, self.logits = loss, logits


@torch.no_grad()
def featured(model, pad, rows: list[dict]) -> list[dict]:
    """The rows with the pooled output of the frozen backbone, dropout off, instead of their tokens."""
    model.eval()
    rows = sorted(rows, key=lambda row: len(row["input_ids"]))
    found = []
    for first in range(0, len(rows), 64):
        batch = pad(rows[first : first + 64])
        labels = batch.pop("labels").tolist()
        pooled = model.bert(**batch).pooler_output
        found += [{"features": f, "labels": y} for f, y in zip(pooled, labels, strict=True)]
    return found


def optimum(sets: dict[str, list[dict]], classes: int, decay: float = 1e-5) -> dict:
    """Where a probe ends when solved to the end: softmax regression by L-BFGS, `decay` times half the
    squared weights added to the mean loss. A yardstick for the recipe, not a side of the comparison."""
    batch = Probe.collate(sets["train"])
    model = Probe(torch.nn.Linear(batch["features"].shape[1], classes))
    torch.nn.init.zeros_(model.classifier.weight)
    torch.nn.init.zeros_(model.classifier.bias)
    solver = torch.optim.LBFGS(model.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        solver.zero_grad()
        value = model(**batch).loss + decay / 2 * model.classifier.weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return {
        "decay": decay,
        **{part: score(model, Probe.collate, sets[part], classes) for part in sets if part != "train"},
    }
