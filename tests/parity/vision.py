"""Real images: an ImageNet backbone under a new head, against the same network and others from random weights.

MobileNetV2 0.35 on flowers12, sign_digits and MNIST, by each strategy; from random weights the same network, a small ResNet
and a small ViT. Three seeds a row. Every finished run is kept as a folder of `xexp` and not computed again. At the end the
tables under `experiments/vision-transfer/cpu` are rewritten.

Usage: python tests/parity/vision.py [--only SET] [--check]
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import ours
from transfer import machine

STORE = ours.SCRATCH / "vision"
TABLE = ours.ROOT / "experiments" / "vision-transfer" / "cpu"
PREPROCESSOR = ours.ROOT / "crates" / "bundled" / "models" / "mini-vision" / "preprocessor_config.json"
SEEDS = (1, 2, 3)
PRETRAINED = ("--model", "mobilenet", "--batch-norm", "frozen")
SCRATCH = ("--backbone", "random", "--lr", 2e-3, "--batch-size", 32)
CHANGED = ("--hflip", 0.5, "--random-crop", 0.5)


class Case(NamedTuple):
    """One way to train on one set."""

    data: str
    name: str
    flags: tuple
    # Mean test accuracy that is asked for; a pair is a range that it must not leave.
    least: float = 0.0
    most: float = 1.0


CASES = (
    Case("flowers12", "MobileNetV2, probe", ("--model", "mobilenet", "--strategy", "probe"), 0.93),
    Case(
        "flowers12", "MobileNetV2, lp-ft",
        (*PRETRAINED, "--strategy", "lp-ft", "--epochs", 6, "--lr", 3e-4, "--schedule", "cosine", *CHANGED), 0.95,
    ),
    Case(
        "flowers12", "MobileNetV2, full",
        (*PRETRAINED, "--strategy", "full", "--epochs", 6, "--lr", 3e-4, "--schedule", "cosine", *CHANGED),
    ),
    Case("flowers12", "MobileNetV2, from scratch", ("--model", "mobilenet", *SCRATCH, "--epochs", 10, *CHANGED), 0.0, 0.80),
    Case("sign_digits", "MobileNetV2, probe", ("--model", "mobilenet", "--strategy", "probe")),
    Case(
        "sign_digits", "MobileNetV2, lp-ft",
        (*PRETRAINED, "--strategy", "lp-ft", "--epochs", 3, "--lr", 3e-4, "--schedule", "cosine"),
    ),
    Case("sign_digits", "ResNet, from scratch", ("--model", "resnet-64", *SCRATCH, "--epochs", 10)),
    Case("sign_digits", "ViT, from scratch", ("--model", "vit-64", *SCRATCH, "--epochs", 10)),
    Case("mnist", "MobileNetV2, probe", ("--model", "mobilenet", "--strategy", "probe")),
    Case("mnist", "ResNet, from scratch", ("--model", "resnet-28", *SCRATCH, "--epochs", 3)),
    Case("mnist", "ViT, from scratch", ("--model", "vit-28", *SCRATCH, "--epochs", 3)),
)  # fmt: skip


def main() -> None:
    """Computes what is missing, writes the tables, and with `--check` holds them against the bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=sorted({case.data for case in CASES}), help="this set alone")
    parser.add_argument("--check", action="store_true", help="exit 1 unless every bound holds")
    args = parser.parse_args()
    passed, table = True, []
    for case in CASES:
        if args.only not in (None, case.data):
            continue
        results = [run(case, seed) for seed in SEEDS]
        accuracies = [result["test"]["accuracy"] for result in results]
        mean = statistics.mean(accuracies)
        passed &= case.least <= mean <= case.most
        table.append((
            case.data, case.name, results[0]["train_examples"], f"{mean:.4f}", *(f"{a:.4f}" for a in accuracies),
            f"{statistics.mean(result['valid']['accuracy'] for result in results):.4f}", results[0]["steps"],
            " ".join(map(str, case.flags)),
        ))  # fmt: skip
        print(*table[-1][:-1], sep="  ", flush=True)
    if args.only is None:
        write(table)
    if args.check:
        sys.exit(0 if passed else 1)


def write(table: list[tuple]) -> None:
    """The table as CSV, and the machine that it comes from."""
    TABLE.mkdir(parents=True, exist_ok=True)
    head = ("data", "model", "train_examples", "test_accuracy", *(f"seed_{seed}" for seed in SEEDS), "valid_accuracy", "steps", "flags")
    with (TABLE / "accuracy.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *table])
    (TABLE / "machine.txt").write_text(machine() + "\n", encoding="utf-8")


def run(case: Case, seed: int) -> dict:
    """The `results.json` of a run, computed unless it is there."""
    output = STORE / f"{case.data}-{case.name.replace(', ', '-').replace(' ', '-')}-{seed}"
    if not (output / "results.json").is_file():
        flags = [str(flag) for flag in case.flags]
        place = flags.index("--model") + 1
        flags[place] = str(model(flags[place]))
        ours.run(
            ours.program(), "finetune", *data(case.data), *flags, "--seed", seed, "--output", output, "--overwrite",
            "--quiet", stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for name in ("model.safetensors", "report.html"):
            (output / name).unlink()
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


def data(name: str) -> list:
    """The flags that name a set's training and test images."""
    images = ours.shared() / "data" / "images"
    match name:
        case "flowers12":
            return ["--train", images / name / "train", "--test", images / name / "test"]
        case "sign_digits":
            return ["--train", *signs(images / name)]
        case _:
            # 6,000 are enough for the comparison; the test part is whole.
            part = [images / name / f"{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
            return ["--train", part[0], "--test", part[1], "--limit-train", 6000]


def signs(folder: Path) -> list:
    """Tables of sign_digits, which has no test part: every fifth photo of a class, in the order of names."""
    rows = {"train": [], "test": []}
    for digit in range(10):
        for place, path in enumerate(sorted((folder / str(digit)).iterdir())):
            rows["test" if place % 5 == 4 else "train"].append([path, digit])
    STORE.mkdir(parents=True, exist_ok=True)
    for part, lines in rows.items():
        with (STORE / f"signs-{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["image", "label"], *lines])
    return [STORE / "signs-train.csv", "--test", STORE / "signs-test.csv"]


def model(name: str) -> Path:
    """The folder of a model: the real one, or a configuration for random weights."""
    if name == "mobilenet":
        return ours.shared() / "data" / "models" / "mobilenet_v2_0.35_224"
    kind, size = name.split("-")
    folder = STORE / name
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "resnet": {
            "model_type": "resnet", "num_channels": 3, "embedding_size": 32, "hidden_sizes": [32, 64, 128],
            "depths": [1, 1, 1], "layer_type": "basic", "hidden_act": "relu", "downsample_in_first_stage": False,
        },
        "vit": {
            "model_type": "vit", "num_channels": 3, "image_size": int(size), "patch_size": 4 if size == "28" else 8,
            "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128,
            "hidden_act": "gelu", "qkv_bias": True, "layer_norm_eps": 1e-12, "initializer_range": 0.02,
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        },
    }[kind]  # fmt: skip
    preprocessor = json.loads(PREPROCESSOR.read_text(encoding="utf-8"))
    preprocessor["size"] = {"height": int(size), "width": int(size)}
    for file, value in (("config.json", config), ("preprocessor_config.json", preprocessor)):
        (folder / file).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
