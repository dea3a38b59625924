"""PyTorch's side of `steps.py`: seconds and losses of the same steps, a line each, in the format of the example `speed`.

Usage: python torch_steps.py step|forward|matrix --model DIR --batch FILE --steps N [--lr X] --threads N [--precision bf16]
       [--lora RANK]
"""

import argparse
import contextlib
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification
from transformers.utils import logging


def main() -> None:
    """Repeats what is asked for; the first repetition warms up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("mode", choices=("step", "forward", "matrix"))
    parser.add_argument("--model", type=Path, help="folder of a classifier")
    parser.add_argument("--batch", type=Path, help="safetensors file")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, default=0.0)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--lora", type=int, help="rank of adapters on queries and values, by PEFT")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    repetition = matrix() if args.mode == "matrix" else subject(args)
    for _ in range(args.steps + 1):
        began = time.perf_counter()
        value = repetition()
        print(time.perf_counter() - began, value, flush=True)


def matrix():
    """A product of the sizes of the example's."""
    x, w = torch.randn(4096, 384), torch.randn(1536, 384)
    out = torch.empty(4096, 1536)

    def multiply() -> float:
        torch.mm(x, w.t(), out=out)
        return 2.0 * 4096 * 384 * 1536

    return multiply


def subject(args: argparse.Namespace):
    """One step, or one forward pass, of the classifier on the batch."""
    batch = load_file(args.batch)
    labels = batch.pop("labels").long()
    if "ids" in batch:
        given, family = {"input_ids": batch["ids"].long()}, AutoModelForSequenceClassification
    else:
        given, family = {"pixel_values": batch["pixels"]}, AutoModelForImageClassification
    model = family.from_pretrained(args.model)
    narrow = torch.autocast("cpu", torch.bfloat16) if args.precision == "bf16" else contextlib.nullcontext()
    if args.mode == "forward":
        model.eval()

        def forward() -> float:
            with torch.inference_mode(), narrow:
                return model(**given).logits.float().square().mean().item()

        return forward
    model.train()
    if args.lora:
        lora = LoraConfig(task_type="SEQ_CLS", r=args.lora, lora_alpha=16, target_modules=["query", "value"])
        model = get_peft_model(model, lora)
    trained = [p for p in model.parameters() if p.requires_grad]
    # As in our optimiser: biases and the weights of norms do not decay. `fused` is PyTorch's fastest.
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, fused=True)

    def step() -> float:
        with narrow:
            loss = model(**given, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
