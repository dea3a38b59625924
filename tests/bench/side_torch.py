"""The other side of a run of the comparison, a process of its own: transformers' Trainer, PEFT, or SetFit; prints its score.

Usage: python side_torch.py CASE SEED FOLDER_OF_CSV OUTPUT
"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "parity")]

import torch

import ours
import side_cases

THREADS = 2


def main() -> None:
    """Trains, and prints the score of the test file as JSON."""
    name, seed, folder, output = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    case = next(case for case in side_cases.CASES if case.name == name)
    torch.set_num_threads(THREADS)
    rows = {path.stem: side_cases.read(path) for path in folder.glob("*.csv")}
    side = setfit if case.strategy == "few" else trainer
    print(json.dumps({"score": side(case, seed, rows, output)}))


def trainer(case, seed: int, rows: dict, output: Path) -> float:
    """As transformers' `run_classification.py` does it, with dynamic padding and the best epoch by the case's metric."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)
    names = None if case.metric == "pearson" else sorted({row["label"] for row in rows["train"]})
    tokenizer = AutoTokenizer.from_pretrained(ours.backbone())

    def examples(part: str) -> list[dict]:
        texts = [[row[column] for row in rows[part]] for column in ("text", "pair") if column in rows[part][0]]
        encoded = tokenizer(*texts, truncation=True, max_length=case.max_length)
        label = float if names is None else names.index
        return [
            {**{key: column[i] for key, column in encoded.items()}, "labels": label(row["label"])}
            for i, row in enumerate(rows[part])
        ]

    model = AutoModelForSequenceClassification.from_pretrained(ours.backbone(), num_labels=len(names or [0]))
    if case.strategy == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=case.rank, lora_alpha=case.alpha))
    settings = TrainingArguments(
        output_dir=output, num_train_epochs=case.epochs, per_device_train_batch_size=case.batch,
        per_device_eval_batch_size=64, learning_rate=case.lr, weight_decay=case.weight_decay, warmup_steps=case.warmup,
        eval_strategy="epoch", save_strategy="epoch", save_total_limit=1, load_best_model_at_end=True,
        metric_for_best_model=case.metric, report_to="none", use_cpu=True, disable_tqdm=True, seed=seed,
    )  # fmt: skip
    measure = lambda found: {case.metric: score(case.metric, found.predictions, found.label_ids)}
    run = Trainer(
        model, settings, data_collator=DataCollatorWithPadding(tokenizer), train_dataset=examples("train"),
        eval_dataset=examples("valid"), compute_metrics=measure,
    )  # fmt: skip
    run.train()
    run.save_model(str(output / "model"))
    return run.evaluate(examples("test"))[f"eval_{case.metric}"]


def score(metric: str, predicted, truth) -> float:
    """Of logits, or values, against ids or values."""
    from scipy.stats import pearsonr
    from sklearn.metrics import accuracy_score, f1_score

    if metric == "pearson":
        return float(pearsonr(predicted.reshape(-1), truth.reshape(-1)).statistic)
    chosen = predicted.argmax(-1)
    return {
        "accuracy": lambda: accuracy_score(truth, chosen),
        "macro_f1": lambda: f1_score(truth, chosen, average="macro"),
        "f1": lambda: f1_score(truth, chosen),
    }[metric]()


def setfit(case, seed: int, rows: dict, output: Path) -> float:
    """SetFit as its documentation has it: pairs of sentences for one epoch, then a logistic regression on the embeddings."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    names = sorted({row["label"] for row in rows["train"]})
    sets = {
        part: Dataset.from_list([{"text": row["text"], "label": names.index(row["label"])} for row in rows[part]])
        for part in ("train", "test")
    }
    model = SetFitModel.from_pretrained(str(ours.backbone()))
    settings = TrainingArguments(
        output_dir=str(output), batch_size=case.batch, num_epochs=1, num_iterations=20, seed=seed, report_to="none",
        show_progress_bar=False, save_strategy="no",
    )  # fmt: skip
    run = Trainer(model=model, args=settings, train_dataset=sets["train"])
    run.train()
    model.save_pretrained(str(output / "model"))
    guesses = [int(guess) for guess in model.predict(sets["test"]["text"])]
    return sum(guess == truth for guess, truth in zip(guesses, sets["test"]["label"], strict=True)) / len(guesses)


if __name__ == "__main__":
    main()
