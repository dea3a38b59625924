"""The models and batches of the step benchmarks: made once, by transformers, so that both sides read the same files.

Dropout is off in their configurations: with it the losses of two libraries could not be compared.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

import ours

STORE = ours.SCRATCH / "speed"
CLASSES = 10
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "classifier_dropout_prob")
PREPROCESSOR = ours.shared() / "data" / "models" / "mobilenet_v2_0.35_224" / "preprocessor_config.json"
VIT_SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}


class Subject(NamedTuple):
    """A classifier's folder and a batch."""

    model: Path
    batch: Path


def minilm(batch: int, length: int) -> Subject:
    """all-MiniLM-L6-v2 under a new head, and random words of full length."""
    folder = STORE / "minilm"
    if not (folder / "config.json").is_file():
        torch.manual_seed(1)
        config = still(AutoConfig.from_pretrained(ours.backbone(), num_labels=CLASSES))
        model = AutoModelForSequenceClassification.from_pretrained(ours.backbone(), config=config)
        save(model, folder, ours.backbone() / "tokenizer.json")
    ids = np.random.default_rng(2).integers(1000, 30000, (batch, length))
    return Subject(folder, written(f"words-{batch}x{length}", {"ids": ids}))


def vit_small(batch: int) -> Subject:
    """A ViT-S/16 of random weights, and noise."""
    folder = STORE / "vit-small"
    if not (folder / "config.json").is_file():
        torch.manual_seed(1)
        config = still(AutoConfig.for_model("vit", num_labels=CLASSES, **VIT_SMALL))
        save(AutoModelForImageClassification.from_config(config), folder, PREPROCESSOR)
    return Subject(folder, noise(batch))


def mobilenet(batch: int) -> Subject:
    """MobileNetV2 0.35 of ImageNet under a new head, and noise. Batch norms go by the batch."""
    folder = STORE / "mobilenet"
    if not (folder / "config.json").is_file():
        torch.manual_seed(1)
        source = ours.shared() / "data" / "models" / "mobilenet_v2_0.35_224"
        config = still(AutoConfig.from_pretrained(source, num_labels=CLASSES))
        model = AutoModelForImageClassification.from_pretrained(source, config=config, ignore_mismatched_sizes=True)
        save(model, folder, PREPROCESSOR)
    return Subject(folder, noise(batch))


def still(config):
    """The configuration without dropout."""
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    return config


def save(model, folder: Path, companion: Path) -> None:
    """Writes a model with its tokenizer or preprocessor; the folder appears when it is whole."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    model.save_pretrained(unfinished)
    shutil.copy(companion, unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def noise(batch: int) -> Path:
    """Images of 224 × 224 without any content."""
    pixels = np.random.default_rng(3).standard_normal((batch, 3, 224, 224))
    return written(f"noise-{batch}", {"pixels": pixels})


def written(name: str, arrays: dict[str, np.ndarray]) -> Path:
    """The file of a batch, with labels."""
    path = STORE / f"{name}.safetensors"
    batch = len(next(iter(arrays.values())))
    arrays["labels"] = np.arange(batch) % CLASSES
    STORE.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ascontiguousarray(array, dtype=np.float32) for key, array in arrays.items()}, path)
    return path
