"""Backbones that `xexp` made, opened with transformers: hidden words, a student, and images.

A small encoder is pretrained and a small student distilled here, in seconds; the bundled image backbone is fine-tuned
on few pictures. Each folder has to open without missing or unexpected keys, and to say what it says here.

Usage: python tests/parity/backbones.py
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForMaskedLM, AutoTokenizer
from transformers.utils import logging

import compare
import ours

WORK = ours.SCRATCH / "backbones"


def main() -> None:
    """Makes three models and compares each; exits 1 when transformers sees another."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    passed = [
        compare.report("Pretrained by hiding words", words()),
        compare.report("Distilled from the real backbone", student()),
        compare.report("Fine-tuned on images", images()),
    ]
    compare.finish(all(passed))


def make(name: str, *flags: object):
    """Runs a command of `xexp` into a folder of its own."""
    folder = WORK / name
    ours.run(ours.program(), *flags, "--output", folder, "--quiet", stdout=subprocess.DEVNULL)
    return folder


def sentences(count: int) -> list[str]:
    """Some of our own lines, short and long."""
    path = ours.ROOT / "experiments" / "bundled-backbone" / "own.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [lines[row * len(lines) // count] for row in range(count)]


def keys(loading: dict, allowed: set[str] = frozenset()) -> list[compare.Row]:
    """Nothing missing, nothing left over, but for `allowed`."""
    rows = []
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        found = sorted(key for key in map(str, loading.get(kind) or []) if key not in allowed)
        rows += compare.equal(kind.replace("_", " "), found, [])
    return rows


@torch.no_grad()
def words() -> list[compare.Row]:
    """`xexp pretrain`: losses, logits of every token, and both of transformers' classes."""
    own = ours.ROOT / "experiments" / "bundled-backbone" / "own.txt"
    folder = make(
        "words", "pretrain", "--train", own, "--width", 64, "--layers", 2, "--heads", 2, "--vocabulary", 2000,
        "--epochs", 3, "--lr", 2e-3,
    )  # fmt: skip
    table = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    losses = [float(line.split(",")[5]) for line in table if line.split(",")[5]]
    rows = [compare.measured("last loss over first", losses[-1] / losses[0], 0.95)]
    texts = sentences(40)
    (WORK / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    example = ours.example()[0].replace("examples/parity", "examples/words")
    ours.run([example], folder, WORK / "texts.txt", WORK / "words.safetensors")
    found = load_file(WORK / "words.safetensors")
    model, loading = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    rows += keys(loading)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = [tokenizer(text, return_tensors="pt") for text in texts]
    rows += compare.equal("tokens", [int(n) for n in found["lengths"]], [len(e["input_ids"][0]) for e in encoded])
    logits = np.concatenate([model.eval()(**one).logits[0].numpy() for one in encoded])
    rows += compare.close("logits of every token", found["logits"], logits)
    _, loading = AutoModel.from_pretrained(folder, output_loading_info=True)
    # AutoModel has a pooler, which hiding words does not train, and has no use for the head.
    loading["unexpected_keys"] = [key for key in loading["unexpected_keys"] if not key.startswith("cls.")]
    return rows + keys(loading, {"pooler.dense.weight", "pooler.dense.bias"})


@torch.no_grad()
def student() -> list[compare.Row]:
    """`xexp distill`: the student opens whole, and its vectors have come nearer to the teacher's."""
    own = ours.ROOT / "experiments" / "bundled-backbone" / "own.txt"
    folder = make(
        "student", "distill", "--model", ours.backbone(), "--train", own, "--layers", 2, "--hidden", 384,
        "--vocabulary", 3000, "--max-steps", 150, "--positions", 64, "--save-dtype", "bf16",
    )  # fmt: skip
    model, loading = AutoModel.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    rows = keys(loading)
    tokenizer, texts = AutoTokenizer.from_pretrained(folder), sentences(60)
    rows += compare.equal("longest text", [tokenizer.model_max_length], [64])
    teacher, whole = AutoModel.from_pretrained(ours.backbone()), AutoTokenizer.from_pretrained(ours.backbone())
    cosines = []
    for text in texts:
        ours_vector = model.eval()(**tokenizer(text, truncation=True, return_tensors="pt")).pooler_output[0]
        states = teacher.eval()(**whole(text, truncation=True, return_tensors="pt")).last_hidden_state[0]
        cosines.append(float(torch.cosine_similarity(ours_vector, states.mean(0), dim=0)))
    # Unrelated vectors of this teacher have a cosine of about 0; a student that begins as it and learns a little is
    # far above.
    rows.append(compare.measured("1 - cosine with the teacher, mean", 1 - float(np.mean(cosines)), 0.6))
    return rows


def symbols(scratch: Path, folder: Path) -> tuple[list[int], torch.Tensor]:
    """Classes of `bundled:symbols/test` and its pixels, as a folder's preprocessor has them; raw ones go to `scratch`."""
    example = ours.example()[0].replace("examples/parity", "examples/contact_sheet")
    ours.run([example], "symbols", "test", scratch)
    raw = np.fromfile(scratch, dtype=np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    mean, std = (np.array(settings[f"image_{kind}"], dtype=np.float32)[:, None, None] for kind in ("mean", "std"))
    pixels = raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) * np.float32(settings["rescale_factor"])
    return raw[:, 0].tolist(), torch.tensor((pixels - mean) / std)


@torch.no_grad()
def images() -> list[compare.Row]:
    """`xexp finetune` on images: the folder opens, and the logits of the test pictures are the same."""
    folder = make(
        "images", "finetune", "--train", "bundled:symbols", "--limit-train", 192, "--epochs", 6,
    )  # fmt: skip
    model, loading = AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
    rows = keys(loading)
    done = ours.run(
        ours.program(), "predict", "--model", folder, "--input", "bundled:symbols/test", "--quiet",
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    classes, pixels = symbols(WORK / "test.bin", folder)
    logits = model.eval()(pixel_values=pixels).logits.numpy()
    rows += compare.close("logits of the test pictures", np.array([one["logits"] for one in found]), logits)
    labels = [model.config.id2label[int(row)] for row in logits.argmax(-1)]
    rows += compare.equal("labels", [one["label"] for one in found], labels)
    names = [model.config.id2label[index] for index in range(len(model.config.id2label))]
    right = [names[label] == one["label"] for label, one in zip(classes, found, strict=True)]
    # Six epochs on 16 pictures a class; chance would be 0.92.
    rows.append(compare.measured("share of wrong labels", 1 - float(np.mean(right)), 0.75))
    return rows


if __name__ == "__main__":
    main()
