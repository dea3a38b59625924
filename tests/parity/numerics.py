"""Holds the forward pass, the gradients and twenty optimiser steps against PyTorch on the real backbone.

Usage: python tests/parity/numerics.py [forward] [backward] [steps] [--record FOLDER]
"""

import argparse
import datetime
import functools
import os
import platform
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

import compare
import ours
import sentences

FOLDER = ours.SCRATCH / "numerics"
STEPS, BATCH, LR = 20, 16, 5e-5


def main() -> None:
    """Runs the named checks, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checks", nargs="*", help="forward, backward, steps; all of them by default")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="also write every row there, as tables")
    arguments = parser.parse_args()
    checks = arguments.checks or ["forward", "backward", "steps"]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = {"forward": forward, "backward": backward, "steps": steps}
    if unknown := set(checks) - set(known):
        raise SystemExit(f"no check called {', '.join(sorted(unknown))}")
    if arguments.record:
        machine(arguments.record)
    # Every check reports, also after a failure.
    passed = [report(check, *known[check](), arguments.record) for check in checks]
    compare.finish(all(passed))


def machine(folder: Path) -> None:
    """Notes where and when the record was made."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    lines = [
        f"date: {datetime.date.today()}",
        f"machine: {names[0] if names else platform.processor()}, {os.cpu_count()} cores, {platform.system()}",
        f"PyTorch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(check: str, title: str, rows: list[compare.Row], record: Path | None) -> bool:
    """Prints a check's rows and records them where asked; whether all hold."""
    if record:
        compare.record(record, check, title, rows)
    return compare.report(title, rows)


def head() -> Path:
    """A new six-class head, the same for both sides; its bias is not zero, so that losing it is seen."""
    rng = torch.Generator().manual_seed(11)
    path = FOLDER / "head.safetensors"
    tensors = {
        "classifier.weight": torch.randn(sentences.CLASSES, 384, generator=rng) * 0.5,
        "classifier.bias": torch.randn(sentences.CLASSES, generator=rng) * 0.1,
    }
    save_file(tensors, path)
    return path


def reference(head: Path):
    """Transformers' model with the head in place: f32, eager attention, dropout off."""
    model = AutoModelForSequenceClassification.from_pretrained(
        ours.backbone(), num_labels=sentences.CLASSES, attn_implementation="eager", dtype=torch.float32
    )
    for name, tensor in load_file(head).items():
        model.get_parameter(name).data.copy_(tensor)
    return model.eval()


@functools.cache
def tokenizer(side: str):
    """Transformers' tokenizer, read once: a second or more each time."""
    return AutoTokenizer.from_pretrained(ours.backbone(), padding_side=side)


def batch(texts: list[str], side: str = "right") -> dict[str, torch.Tensor]:
    """Texts padded to the longest. Positions count real tokens: padding on the left changes nothing."""
    inputs = tokenizer(side)(texts, padding=True, return_tensors="pt")
    inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    return dict(inputs)


def example(mode: str, texts: Path, head: Path, *options: object) -> dict[str, np.ndarray]:
    """What our side computes: the tensors that the `parity` example wrote."""
    out = FOLDER / f"{mode}{'-'.join(map(str, options))}.safetensors"
    out.unlink(missing_ok=True)
    places = ["--model", ours.backbone(), "--texts", texts, "--head", head, "--out", out]
    ours.run(ours.example(), mode, *places, *options)
    return {name: tensor.numpy() for name, tensor in load_file(out).items()}


@torch.no_grad()
def forward() -> tuple[str, list[compare.Row]]:
    """Hidden states of every real token, pooled features and logits on 64 sentences, padded or not."""
    file, new = sentences.write(FOLDER / "forward.jsonl", 64), head()
    texts, _ = sentences.read(file)
    model = reference(new)
    theirs = {f"padded {side}": outputs(model, batch(texts, side)) for side in ("right", "left")}
    single = [outputs(model, batch([text])) for text in texts]
    theirs["one by one"] = {name: np.concatenate([one[name] for one in single]) for name in single[0]}
    tokens = theirs["one by one"]["lengths"]
    rows = []
    for options in ([], ["--padded"]):
        found = example("forward", file, new, *options)
        for name, expected in theirs.items():
            title = f"ours {' '.join(options) or 'packed'}, theirs {name}"
            lengths = [found["lengths"].tolist(), expected["lengths"].tolist()]
            rows += compare.equal(f"{title}: lengths", *lengths)
            # With padding on the left, transformers pools the padding in front of the sentence.
            for part in ("hidden",) if name == "padded left" else ("hidden", "pooled", "logits"):
                rows += compare.close(f"{title}: {part}", found[part], expected[part])
    title = f"Forward: 64 sentences of {tokens.min()} to {tokens.max()} tokens, {tokens.sum()} together"
    return title, rows


def outputs(model, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Transformers' outputs, the hidden states of real tokens alone, packed in the order of the sentences."""
    base = model.bert(**inputs)
    mask = inputs["attention_mask"].bool()
    return {
        "hidden": base.last_hidden_state[mask].numpy(),
        "lengths": mask.sum(-1).numpy(),
        "pooled": base.pooler_output.numpy(),
        "logits": model(**inputs).logits.numpy(),
    }


def backward() -> tuple[str, list[compare.Row]]:
    """The loss of one batch and its gradient in every tensor."""
    file, new = sentences.write(FOLDER / "backward.jsonl", 32), head()
    texts, labels = sentences.read(file)
    model = reference(new)
    loss = cross_entropy(model(**batch(texts)).logits, torch.tensor(labels))
    loss.backward()
    theirs = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    found = example("backward", file, new)
    rows = compare.close("loss", found.pop("loss").reshape(()), loss.detach().numpy())
    return f"Backward: {len(theirs)} tensors", rows + compare.gradients(found, theirs)


def steps() -> tuple[str, list[compare.Row]]:
    """The losses of twenty AdamW steps at a constant rate, batches in the file's order, wrapping around."""
    file, new = sentences.write(FOLDER / "steps.jsonl", 160), head()
    texts, labels = sentences.read(file)
    model = reference(new)
    plain = [name for name, _ in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    groups = [
        {"params": [p for name, p in model.named_parameters() if name not in plain], "weight_decay": 0.01},
        {"params": [p for name, p in model.named_parameters() if name in plain], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.999), eps=1e-8)
    theirs = []
    for step in range(STEPS):
        rows = [(step * BATCH + row) % len(texts) for row in range(BATCH)]
        logits = model(**batch([texts[row] for row in rows])).logits
        loss = cross_entropy(logits, torch.tensor([labels[row] for row in rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())
    found = example("steps", file, new, "--steps", STEPS, "--batch-size", BATCH, "--lr", LR)
    title = f"Optimiser steps: AdamW, batch {BATCH}, learning rate {LR}"
    return title, compare.losses(found["losses"], np.array(theirs))


if __name__ == "__main__":
    main()
