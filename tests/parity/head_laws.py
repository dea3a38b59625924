"""The law of a new head's last layer in timm and fastai, measured on models that these libraries make.

`experiments/head-audit/libraries.csv` keeps what was found; the laws that `xexp run head-audit` draws by are tested
against it. Needs timm and fastai, which no other check does, so it is run by hand, in an environment of its own:

    pip install torch torchvision timm fastai
    python tests/parity/head_laws.py [--record]
"""

import argparse
import csv
import math
from pathlib import Path

import fastai
import timm
import torch
from fastai.torch_core import apply_init
from fastai.vision.learner import create_head

TABLE = Path(__file__).resolve().parents[2] / "experiments" / "head-audit" / "libraries.csv"
# So many outputs that a standard deviation is known to a percent at the smallest width.
CLASSES = 400
SEEDS = range(5)
# A small model of each family that timm has.
TIMM = {
    "beit": "beit_base_patch16_224",
    "convnext": "convnext_atto",
    "convnextv2": "convnextv2_atto",
    "deit": "deit_tiny_patch16_224",
    "dinov2": "vit_small_patch14_dinov2",
    "dinov2_with_registers": "vit_small_patch14_reg4_dinov2",
    "mobilenet_v2": "mobilenetv2_050",
    "resnet": "resnet18",
    "swin": "swin_tiny_patch4_window7_224",
    "vit": "vit_tiny_patch16_224",
}


def main() -> None:
    """Prints a row a head; keeps them with `--record`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", action="store_true", help=f"writes {TABLE.name}")
    args = parser.parse_args()
    rows = [("library", "version", "family", "model", "inputs", "outputs", "std", "bias_std", "largest")]
    for family, name in TIMM.items():
        heads = [timm_head(name, seed) for seed in SEEDS]
        rows.append(("timm", timm.__version__, family, name, *measured(heads)))
    rows.append(("fastai", fastai.__version__, "", "create_head(768)", *measured([fastai_head(s) for s in SEEDS])))
    for row in rows:
        print(*row, sep=",")
    if args.record:
        with TABLE.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def timm_head(name: str, seed: int) -> torch.nn.Linear:
    """The head that `create_model` leaves where it loads no pretrained one."""
    torch.manual_seed(seed)
    return timm.create_model(name, pretrained=False, num_classes=CLASSES).get_classifier()


def fastai_head(seed: int) -> torch.nn.Linear:
    """The last layer of the head of `vision_learner`."""
    torch.manual_seed(seed)
    head = create_head(768, CLASSES, concat_pool=False)
    apply_init(head, torch.nn.init.kaiming_normal_)
    return head[-1]


@torch.no_grad()
def measured(heads: list[torch.nn.Linear]) -> tuple:
    """Sizes, the root mean square of weights and biases, and the largest weight over it."""
    weights = torch.cat([head.weight.double().flatten() for head in heads])
    std = math.sqrt(weights.square().mean())
    biases = [head.bias.double() for head in heads if head.bias is not None]
    bias = math.sqrt(torch.cat(biases).square().mean()) if biases else 0.0
    largest = float(weights.abs().max()) / std
    head = heads[0]
    return head.in_features, head.out_features, f"{std:.6g}", f"{bias:.6g}", f"{largest:.2f}"


if __name__ == "__main__":
    main()
