"""`xexp inspect` held against what it says: new models, planted faults, transformers' own attention, time and memory.

- New models of every family by transformers' initializers: each number with a spread lies within it, and nothing is found.
- Faults planted in MiniLM and in new models: the block is named, and no other.
- Logits and entropies of MiniLM on 32 sentences are those of `output_attentions`, to 1e-3.
- MiniLM on 64 sentences takes less than 30 s on two threads and less than twice the model's memory.

Usage: python tests/parity/inspect_report.py [--only new|faults|attention|cost …]
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

import compare
import inspect_models
import ours
import sentences
import tiny

sys.path.insert(0, str(ours.ROOT / "tests" / "bench"))
from measure import measured  # noqa: E402

WORK = ours.SCRATCH / "inspect"
# Standard deviations within which every number of a new model has to lie. There are 4,434 of them, whose largest is near 3.8
# if they are normal; singular values and logits of few directions have longer tails. The largest found is 4.4.
SURPRISE = 6.0
SECONDS = 30.0


def inspect(model: Path, *flags: object) -> dict:
    """What `xexp inspect` prints for programs."""
    command = ["inspect", model, *flags, "--format", "json", "--quiet"]
    return json.loads(ours.run(ours.program(), *command, stdout=subprocess.PIPE, text=True).stdout)


def new() -> bool:
    """Models with new weights of every family."""
    passed, count = True, 0
    for case in inspect_models.CASES:
        folder = WORK / "new" / case
        found = inspect(folder, *inspect_models.make(case, folder))
        worst: dict[str, float] = {}
        for sheet, rows in found["sheets"].items():
            for row in rows:
                for column, cell in row.items():
                    # Features of new models are not standard normal, nor said to be.
                    if sheet == "features" or not isinstance(cell, dict) or cell["z"] is None:
                        continue
                    count += 1
                    place = f"{sheet}.{column}"
                    worst[place] = max(worst.get(place, 0.0), abs(cell["z"]))
        rows = [compare.measured(f"largest |z| of {place}", z, SURPRISE) for place, z in worst.items()]
        rows.append(compare.measured("findings", len(found["findings"]), 0))
        for finding in found["findings"]:
            print(f"{case}: {finding['rule']} {finding['tensor']}: {finding['text']}")
        passed &= compare.report(f"new {case}", rows)
    print(f"{count} numbers beside their expectation")
    return passed


# Where a model has a query, a norm's gains, a matrix that writes to the stream, and a block's prefix.
NAMES = {
    "minilm": ("encoder.layer.{}.", "attention.self.query.weight", "output.LayerNorm.weight", "output.dense.weight"),
    "bert": ("bert.encoder.layer.{}.", "attention.self.query.weight", "output.LayerNorm.weight", "output.dense.weight"),
    "llama": ("model.layers.{}.", "self_attn.q_proj.weight", "post_attention_layernorm.weight", "mlp.down_proj.weight"),
    "vit": (
        "vit.encoder.layer.{}.", "attention.attention.query.weight", "layernorm_after.weight", "output.dense.weight",
    ),
}  # fmt: skip


def plant(fault: str, tensors: dict[str, np.ndarray], names: tuple[str, ...], layer: int) -> None:
    """Spoils a block."""
    prefix, query, norm, out = names[0].format(layer), *names[1:]
    if fault == "query":
        tensors[prefix + query] *= 8.0
    elif fault == "norm":
        tensors[prefix + norm][:] = 0.0
    elif fault == "small":
        for name in [name for name in tensors if name.startswith(prefix) and tensors[name].ndim > 1]:
            tensors[name] *= 1e-3
    elif fault == "channel":
        tensors[prefix + out][3] *= 200.0
    elif fault == "half":
        tensors[prefix + out][0, 0] = 1e5


RULES = {"query": "scale", "norm": "dead", "small": "scale", "channel": "outlier", "half": "f16"}


def faults() -> bool:
    """Planted faults: their block is named, and no other."""
    passed = True
    subjects = {"minilm": (ours.backbone(), ["--data", ours.shared() / "data/text/snips/validate.csv"], 3)}
    for case in ("bert", "llama", "vit"):
        folder = WORK / "faults" / case
        subjects[case] = (folder, inspect_models.make(case, folder), 2)
    for case, (folder, data, layer) in subjects.items():
        for fault, rule in RULES.items():
            spoilt = WORK / "faults" / f"{case}-{fault}"
            shutil.rmtree(spoilt, ignore_errors=True)
            shutil.copytree(folder, spoilt)
            tensors = dict(load_file(spoilt / tiny.WEIGHTS))
            plant(fault, tensors, NAMES[case], layer)
            save_file(tensors, spoilt / tiny.WEIGHTS, metadata={"format": "pt"})
            for flags in ([], data):
                found = inspect(spoilt, *flags)["findings"]
                named = [finding for finding in found if finding["layer"] == layer]
                others = [finding for finding in found if finding["layer"] != layer]
                for finding in others:
                    print(f"{case} {fault}: {finding['rule']} {finding['tensor']}: {finding['text']}")
                what = f"{case}: {fault} in block {layer}, {'with' if flags else 'without'} data"
                right = {finding["rule"] for finding in named}
                passed &= compare.report(what, [
                    compare.measured(f"{rule} not found in the block", int(rule not in right), 0),
                    compare.measured("found elsewhere", len(others), 0),
                ])
    return passed


@torch.no_grad()
def attention() -> bool:
    """Logits within rows and entropies of MiniLM, against transformers' attention."""
    path = WORK / "sentences.jsonl"
    texts, _ = sentences.read(sentences.write(path, 32))
    found = inspect(ours.backbone(), "--data", path, "--limit", 32)["sheets"]["heads"]
    tokenizer = AutoTokenizer.from_pretrained(ours.backbone())
    model = AutoModel.from_pretrained(ours.backbone(), attn_implementation="eager").eval()
    sums: dict[tuple[int, int], np.ndarray] = {}
    for text in texts:
        # A text alone: there is no padding to leave out.
        given = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        for layer, weights in enumerate(model(**given, output_attentions=True).attentions):
            p = weights[0].double()
            n = p.shape[-1]
            # Softmax hides what is common to a row: ln p is the row of logits but for that.
            logits = p.log()
            for head in range(p.shape[0]):
                rows = np.array([
                    logits[head].var(-1, unbiased=False).sum().item(),
                    (-(p[head] * logits[head]).sum(-1) / math.log(n)).sum().item(),
                    p[head, :, 0].sum().item(),
                    n,
                ])
                sums[layer, head] = sums.get((layer, head), 0.0) + rows
    passed = True
    for place, column in enumerate(("row_variance", "entropy", "first")):
        off = 0.0
        for row in found:
            total = sums[row["layer"], row["head"]]
            theirs = total[place] / total[3]
            value = row[column]["value"] if isinstance(row[column], dict) else row[column]
            off = max(off, abs(value - theirs) / max(1.0, abs(theirs)))
        passed &= compare.report(f"attention of {len(texts)} sentences", [compare.measured(f"largest difference of {column}", off, 1e-3)])
    return passed


def cost() -> bool:
    """Time and memory of MiniLM on 64 sentences."""
    data = ours.shared() / "data/text/snips/validate.csv"
    command = [*ours.program(), "inspect", ours.backbone(), "--data", data, "--limit", 64, "--format", "json", "--quiet"]
    cost = measured(command, 2)
    model = (ours.backbone() / tiny.WEIGHTS).stat().st_size / 1e6
    return compare.report("MiniLM on 64 sentences, two threads", [
        compare.measured("seconds", cost.seconds, SECONDS),
        compare.measured(f"peak memory in MB, of a model of {model:.0f}", cost.memory, 2.0 * model),
    ])


def main() -> None:
    """Runs the parts that are asked for."""
    parts = {"new": new, "faults": faults, "attention": attention, "cost": cost}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts), help="these parts alone")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    compare.finish(all([parts[part]() for part in parser.parse_args().only]))


if __name__ == "__main__":
    main()
