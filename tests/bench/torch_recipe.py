"""PyTorch's side of `recipes.py`: whole processes, from the import to what is saved.

Usage: python torch_recipe.py loop|trainer|probe --train CSV --valid CSV --output DIR
       python torch_recipe.py predict --model DIR --input CSV --output DIR
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding
from transformers.utils import logging

import accuracy_cases
import accuracy_torch
import ours

CASE = next(case for case in accuracy_cases.CASES if case.name == "snips")
# Rate and length at which AdamW all but solves the convex problem of a head on CLINC150's features.
PROBE = next(case for case in accuracy_cases.CASES if case.strategy == "probe")
THREADS = 2


def main() -> None:
    """Trains by one of the ways, or predicts; the scores go into `results.json`, as ours do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("how", choices=("loop", "trainer", "probe", "predict"))
    for name in ("train", "valid", "input", "model", "output"):
        parser.add_argument(f"--{name}", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    args.output.mkdir(parents=True, exist_ok=True)
    found = predict(args) if args.how == "predict" else train(args)
    (args.output / "results.json").write_text(json.dumps(found), encoding="utf-8")


def train(args: argparse.Namespace) -> dict:
    """The recipe of the accuracy comparison, and the model saved."""
    rows = {"train": accuracy_cases.read(args.train), "valid": accuracy_cases.read(args.valid)}
    names = sorted(set(rows["train"][1]))
    tokenizer = AutoTokenizer.from_pretrained(ours.backbone())
    sets = {part: accuracy_torch.examples(tokenizer, CASE, names, *row) for part, row in rows.items()}
    model = AutoModelForSequenceClassification.from_pretrained(ours.backbone(), num_labels=len(names))
    pad = DataCollatorWithPadding(tokenizer)
    trained = model
    if args.how == "loop":
        accuracy_torch.fit(CASE, model, pad, sets, len(names))
    elif args.how == "trainer":
        by_trainer(model, pad, sets, args.output)
    else:
        sets = {part: accuracy_torch.featured(model, pad, part_set) for part, part_set in sets.items()}
        trained, pad = accuracy_torch.Probe(model.classifier), accuracy_torch.Probe.collate
        accuracy_torch.fit(PROBE, trained, pad, sets, len(names))
    model.save_pretrained(args.output)
    tokenizer.save_pretrained(args.output)
    return accuracy_torch.score(trained, pad, sets["valid"], len(names))


def by_trainer(model, pad, sets: dict, output: Path) -> None:
    """The same recipe by transformers' Trainer."""
    from transformers import Trainer, TrainingArguments

    settings = TrainingArguments(
        output_dir=output / "trainer", num_train_epochs=CASE.epochs, per_device_train_batch_size=CASE.batch,
        per_device_eval_batch_size=64, learning_rate=CASE.lr, weight_decay=CASE.weight_decay, warmup_steps=CASE.warmup,
        max_grad_norm=CASE.clip, eval_strategy="epoch", save_strategy="no", report_to="none", use_cpu=True,
        disable_tqdm=True, seed=1,
    )  # fmt: skip
    Trainer(model, settings, data_collator=pad, train_dataset=sets["train"], eval_dataset=sets["valid"]).train()


@torch.inference_mode()
def predict(args: argparse.Namespace) -> dict:
    """Labels of a file's texts: batches of like lengths, the fastest plain way."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model).eval()
    texts, _ = accuracy_cases.read(args.input)
    ids = tokenizer(texts, truncation=True, max_length=CASE.max_length)["input_ids"]
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    labels, pad = [""] * len(ids), DataCollatorWithPadding(tokenizer)
    for first in range(0, len(order), 64):
        chosen = order[first : first + 64]
        guesses = model(**pad([{"input_ids": ids[row]} for row in chosen])).logits.argmax(-1)
        for row, guess in zip(chosen, guesses.tolist(), strict=True):
            labels[row] = model.config.id2label[guess]
    (args.output / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return {"predicted": len(labels)}


if __name__ == "__main__":
    main()
