"""Models with new weights of every family, made by transformers: what `xexp inspect` is to find nothing wrong with.

They are those of tiny.py, wide and deep enough for laws of large numbers, and drawn by transformers' own initializers.
"""

import shutil
from pathlib import Path

import torch

import families
import tiny

# Sizes by the names that families give them; a case has those of its own fields that stand here.
WIDE = {
    "hidden_size": 64, "dim": 64, "n_embd": 64, "embedding_size": 32, "intermediate_size": 128, "hidden_dim": 128,
    "num_hidden_layers": 4, "n_layers": 4, "n_layer": 4, "num_attention_heads": 4, "n_heads": 4, "n_head": 4,
    "num_key_value_heads": 2, "embed_dim": 32, "hidden_sizes": [32, 64], "depths": [2, 2], "num_heads": [2, 4],
}  # fmt: skip
# Fields whose widened value depends on the case.
OF_CASE = {
    "albert-groups": {"num_hidden_layers": 6}, "qwen3": {"head_dim": 16}, "llama-biases": {"head_dim": 16},
    "mobilenet_v2": {"depth_multiplier": 0.35, "min_depth": 8, "expand_ratio": 6},
    "mobilenet_v2-dilated": {"depth_multiplier": 0.35, "min_depth": 8, "expand_ratio": 6},
}  # fmt: skip
CASES = [case for case in tiny.CASES if not tiny.frozen(case)]


def make(case: str, folder: Path, seed: int = 0) -> list[object]:
    """Saves a model of a case with new weights, and gives the flags of the data that it reads."""
    fields = tiny.CASES[case][1]
    other = {name: value for name, value in WIDE.items() if name in fields} | OF_CASE.get(case, {})
    if tiny.is_image(case):
        other |= tiny.of_size(case, families.SIZE)
    torch.manual_seed(seed)
    network = tiny.auto(case).from_config(tiny.config(case, **other)).float()
    network.save_pretrained(folder)
    if tiny.is_image(case):
        shutil.copy(families.PREPROCESSOR, folder)
        return ["--data", "bundled:symbols/test", "--limit", 16]
    families.tokenizer(case).save_pretrained(folder)
    (families.WORK / case).mkdir(parents=True, exist_ok=True)
    return ["--data", families.table(case)]
