"""Every family, there and back: transformers makes a tiny model, `xexp finetune` trains it, transformers opens the result.

For each case of tiny.py: the saved folder opens without missing or unexpected keys, and its logits are those that
`xexp predict` prints.

Usage: python tests/parity/families.py [CASE...]     (default: all)
       python tests/parity/families.py --record      all, and writes experiments/family-parity/cpu/transformers.csv
"""

import argparse
import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

import backbones
import compare
import ours
import roundtrip
import tiny

WORK = ours.SCRATCH / "families"
RECORD = ours.ROOT / "experiments" / "family-parity" / "cpu" / "transformers.csv"
# What the bundled pictures are, and what is made of them.
SIZE = 32
PREPROCESSOR = ours.ROOT / "crates" / "bundled" / "models" / "mini-vision" / "preprocessor_config.json"
WORDS = ("red", "green", "blue", "one", "two", "three", "four", "five", "six", "cat", "dog", "bird", "is", "not", "a")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def main() -> None:
    """Goes through the cases; exits 1 when transformers sees another model than we do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help="which cases")
    parser.add_argument("--record", action="store_true", help="keeps how near the logits were, when all cases hold")
    args = parser.parse_args()
    if args.cases and args.record:
        parser.error("a record has all cases")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    shutil.rmtree(WORK, ignore_errors=True)
    found = {case: rows(case) for case in args.cases or tiny.CASES}
    passed = all([compare.report(case, rows) for case, rows in found.items()])
    if passed and args.record:
        record(found)
    compare.finish(passed)


def record(found: dict[str, list[compare.Row]]) -> None:
    """Writes a row a case: the class that opened it, how far its logits were and might have been."""
    with RECORD.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "family", "architecture", "logits_max_abs", "bound"])
        for case, rows in found.items():
            config = json.loads((WORK / case / "trained" / "config.json").read_text(encoding="utf-8"))
            logits = next(row for row in rows if row.what.startswith("logits of"))
            table.writerow([case, tiny.family(case), config["architectures"][0], logits.found, logits.bound])


@torch.no_grad()
def rows(case: str) -> list[compare.Row]:
    """One case."""
    base, trained = WORK / case / "base", WORK / case / "trained"
    other = tiny.of_size(case, SIZE) if tiny.is_image(case) else {}
    tiny.model(case, base, **other)
    if tiny.is_image(case):
        shutil.copy(PREPROCESSOR, base)
        data = ["--train", "bundled:symbols", "--limit-train", 64]
    else:
        tokenizer(case).save_pretrained(base)
        data = ["--train", table(case), "--batch-size", 8]
    strategy = ["--strategy", "probe"] if tiny.frozen(case) else ["--epochs", 1]
    flags = ["--model", base, *data, *strategy, "--output", trained, "--quiet"]
    ours.run(ours.program(), "finetune", *flags, stdout=subprocess.DEVNULL)
    model, loading = tiny.auto(case).from_pretrained(trained, output_loading_info=True)
    found = roundtrip.keys(loading) + roundtrip.names(trained, model.config)
    predicted, theirs = (images if tiny.is_image(case) else texts)(case, trained, model.eval())
    logits = np.array([one["logits"] for one in predicted])
    found += compare.close(f"logits of {len(predicted)}", logits, theirs, bound(case, trained, model, theirs))
    guesses = [model.config.id2label[guess] for guess in theirs.argmax(-1).tolist()]
    # Where two logits are the same but for rounding, either is right.
    ranked = np.sort(theirs, axis=-1)
    clear = (ranked[:, -1] - ranked[:, -2] > 2 * compare.VALUE).tolist()
    labels = [one["label"] if sure else guess for one, guess, sure in zip(predicted, guesses, clear, strict=True)]
    return found + roundtrip.same("predicted labels", labels, guesses)


def bound(case: str, folder: Path, model, theirs: np.ndarray) -> float:
    """How far logits may be: 1e-4, or where rounding moves PyTorch's own logits further, three times as far.

    A batch norm whose running variance is near zero after a few steps magnifies rounding, layer after layer.
    """
    if not any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules()):
        return compare.VALUE
    _, pixels = backbones.symbols(WORK / case / "test.bin", folder)
    exact = model.double()(pixel_values=pixels.double()).logits.numpy()
    return max(compare.VALUE, 3.0 * float(np.abs(exact - theirs).max()))


def images(case: str, folder: Path, model) -> tuple[list[dict], np.ndarray]:
    """What we print for the test pictures, and transformers' logits."""
    command = ["predict", "--model", folder, "--input", "bundled:symbols/test", "--quiet"]
    done = ours.run(ours.program(), *command, stdout=subprocess.PIPE, text=True)
    _, pixels = backbones.symbols(WORK / case / "test.bin", folder)
    return [json.loads(line) for line in done.stdout.splitlines()], model(pixel_values=pixels).logits.numpy()


def texts(case: str, folder: Path, model) -> tuple[list[dict], np.ndarray]:
    """What we print for texts of all lengths, and transformers' logits."""
    written = [text for text, _ in sentences(case, 40)]
    # AutoTokenizer would split words by the family's rules, whatever tokenizer.json says.
    theirs = roundtrip.logits(model, PreTrainedTokenizerFast.from_pretrained(folder), written)
    return roundtrip.predict(folder, written), theirs


def tokenizer(case: str) -> PreTrainedTokenizerFast:
    """A word an id, `<s>` in front and `</s>` behind."""
    words = Tokenizer(models.WordLevel({word: row for row, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("<s>", 0), ("</s>", 2)]
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=marks)
    special = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=longest(case), model_input_names=["input_ids", "attention_mask"],
        cls_token="<s>", sep_token="</s>", **special,
    )  # fmt: skip


def longest(case: str) -> int:
    """Tokens for which every family has a position; those that count from behind the padding lose two."""
    return tiny.config(case).max_position_embeddings - 2


def sentences(case: str, count: int) -> list[tuple[str, str]]:
    """Texts of one word up to the longest, and their labels."""
    most = longest(case) - 2
    draws = ((tiny.uniform(f"{case} words", count * most) + 1) / 2 * len(WORDS)).astype(int).reshape(count, most)
    written = [" ".join(WORDS[word] for word in row[: 1 + i % most]) for i, row in enumerate(draws)]
    return [(text, f"class {i % tiny.CLASSES}") for i, text in enumerate(written)]


def table(case: str) -> Path:
    """The sentences as a CSV."""
    path = WORK / case / "train.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["text", "label"], *sentences(case, 60)])
    return path


if __name__ == "__main__":
    main()
