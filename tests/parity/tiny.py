"""Tiny models of every family, made by transformers itself: configurations, weights by a rule, inputs.

The weights follow from a tensor's name and the place in it alone, so that a fixture need not hold them: place `i` of tensor
`name` is drawn from the hash of both, uniform, with a standard deviation that suits what the tensor does. The Rust side of
the rule is `crates/heads/tests/families/rule.rs`.
"""

import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

import references

WEIGHTS = "model.safetensors"
CLASSES = 3
TEXT = {"num_labels": CLASSES, "vocab_size": 23, "max_position_embeddings": 20, "pad_token_id": 1}
ENCODER = TEXT | {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0,
}  # fmt: skip
DECODER = TEXT | {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 12,
}  # fmt: skip
GPT2 = {
    "num_labels": CLASSES, "vocab_size": 23, "n_positions": 20, "pad_token_id": 1, "n_embd": 8, "n_layer": 2,
    "n_head": 2, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
}  # fmt: skip
MODERNBERT = TEXT | {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "local_attention": 5,
    "global_attn_every_n_layers": 2, "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 20.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 5.0},
    },
}  # fmt: skip
IMAGE = {"num_labels": CLASSES, "num_channels": 3}
VISION = IMAGE | {
    "image_size": 12, "patch_size": 4, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12,
}  # fmt: skip
# DINOv2 knows the feed-forward width by its ratio.
DINO = {field: value for field, value in VISION.items() if field != "intermediate_size"} | {"mlp_ratio": 2}
BEIT_SHARED = {
    "drop_path_rate": 0.0, "use_shared_relative_position_bias": True, "use_absolute_position_embeddings": True,
    "use_mask_token": True, "use_mean_pooling": False, "layer_scale_init_value": 0.0,
}  # fmt: skip
# Windows of 3 over 7 and 4 patches: filled up, torn by the shift, and merged from an odd side.
SWIN = IMAGE | {
    "image_size": 14, "patch_size": 2, "embed_dim": 4, "depths": [2, 1], "num_heads": [2, 4], "window_size": 3,
    "mlp_ratio": 1.5, "drop_path_rate": 0.0, "use_absolute_embeddings": True,
}  # fmt: skip

DEBERTA = ENCODER | {
    "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0, "max_position_embeddings": 12,
}  # fmt: skip
CONVOLUTIONS = IMAGE | {"hidden_sizes": [6, 8], "depths": [2, 1]}
MOBILE = IMAGE | {
    "image_size": 35, "depth_multiplier": 0.01, "depth_divisible_by": 1, "min_depth": 2, "expand_ratio": 1.5,
    "classifier_dropout_prob": 0.0, "finegrained_output": False,
}  # fmt: skip

TOWER = VISION | {"num_hidden_layers": 3}
TEXT_TOWER = {
    "vocab_size": 23, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": 20,
}  # fmt: skip
T5 = TEXT | {
    "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 3, "num_heads": 2, "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 6, "dropout_rate": 0.0,
}  # fmt: skip
# Families whose backbone is never trained: everything but the head is frozen in the reference as well.
FROZEN = ("clip", "siglip", "t5", "nomic_bert", "jina")
# Those of which transformers has no classifier.
REFERENCES = {"t5": references.T5EncoderClassifier, "jina": references.JinaClassifier}

# A case a line: its name, the family, what differs from transformers' defaults.
CASES = {
    "albert": ("albert", ENCODER | {"embedding_size": 4, "classifier_dropout_prob": 0.0}),
    "albert-groups": ("albert", ENCODER | {
        "embedding_size": 4, "intermediate_size": 4, "num_hidden_layers": 3, "num_hidden_groups": 2, "inner_group_num": 2,
        "hidden_act": "relu", "classifier_dropout_prob": 0.0,
    }),
    "beit": ("beit", VISION | {"drop_path_rate": 0.0, "use_relative_position_bias": True}),
    "beit-shared": ("beit", VISION | BEIT_SHARED),
    "bert": ("bert", ENCODER),
    "camembert": ("camembert", ENCODER),
    "clip": ("clip", {"num_labels": CLASSES, "vision_config": TOWER, "text_config": TEXT_TOWER}),
    "deberta-v2": ("deberta-v2", DEBERTA | {"conv_kernel_size": 3, "conv_act": "gelu", "norm_rel_ebd": "layer_norm"}),
    "deberta-v3": ("deberta-v2", DEBERTA | {
        "position_buckets": 4, "share_att_key": True, "position_biased_input": False, "norm_rel_ebd": "layer_norm",
        "max_relative_positions": 16,
    }),
    "deit": ("deit", VISION | {"architectures": ["DeiTForImageClassification"]}),
    "dinov2": ("dinov2", DINO),
    "dinov2-swiglu": ("dinov2", DINO | {"use_swiglu_ffn": True, "qkv_bias": False}),
    "dinov2_with_registers": ("dinov2_with_registers", DINO | {"num_register_tokens": 2}),
    "convnext": ("convnext", CONVOLUTIONS | {"image_size": 12, "patch_size": 3, "num_stages": 2}),
    "convnextv2": ("convnextv2", CONVOLUTIONS | {"image_size": 12, "patch_size": 3, "num_stages": 2}),
    "distilbert": ("distilbert", TEXT | {
        "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "dropout": 0.0, "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
    }),
    "electra": ("electra", ENCODER | {"embedding_size": 4}),
    "gpt2": ("gpt2", GPT2),
    "gpt2-scaled": ("gpt2", GPT2 | {
        "n_inner": 12, "scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False,
    }),
    "jina": ("bert", ENCODER | {"position_embedding_type": "alibi", "feed_forward_type": "geglu"}),
    "jina-heads": ("bert", ENCODER | {
        "position_embedding_type": "alibi", "feed_forward_type": "geglu", "hidden_size": 12, "num_attention_heads": 3,
    }),
    "llama": ("llama", DECODER | {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 20.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 20,
    }}),
    "llama-biases": ("llama", DECODER | {
        "attention_bias": True, "mlp_bias": True, "head_dim": 4,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
    }),
    "mobilenet_v2": ("mobilenet_v2", MOBILE),
    "mobilenet_v2-dilated": (
        "mobilenet_v2",
        MOBILE | {"output_stride": 8, "tf_padding": False, "first_layer_is_expansion": False},
    ),
    "modernbert": ("modernbert", MODERNBERT),
    "modernbert-mean": ("modernbert", MODERNBERT | {
        "classifier_pooling": "mean", "norm_bias": True, "attention_bias": True, "mlp_bias": True,
        "classifier_bias": True, "hidden_activation": "gelu_pytorch_tanh", "num_hidden_layers": 1,
    }),
    "mpnet": ("mpnet", ENCODER),
    "nomic_bert": ("nomic_bert", ENCODER | {"layer_norm_eps": 1e-5}),
    "qwen2": ("qwen2", DECODER | {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    "qwen3": ("qwen3", DECODER | {"head_dim": 4}),
    "resnet": ("resnet", CONVOLUTIONS | {"image_size": 19, "embedding_size": 4, "layer_type": "basic"}),
    "resnet-bottleneck": (
        "resnet",
        CONVOLUTIONS | {"image_size": 19, "embedding_size": 4, "downsample_in_bottleneck": True},
    ),
    "roberta": ("roberta", ENCODER | {"type_vocab_size": 1}),
    "siglip": ("siglip", {"num_labels": CLASSES, "vision_config": TOWER, "text_config": TEXT_TOWER}),
    "siglip-bare": ("siglip", {
        "num_labels": CLASSES, "vision_config": TOWER | {"vision_use_head": False, "hidden_act": "gelu"},
        "text_config": TEXT_TOWER,
    }),
    "swin": ("swin", SWIN),
    "t5": ("t5", T5),
    "t5-gated": ("t5", T5 | {"feed_forward_proj": "gated-gelu", "d_kv": 3}),
    "vit": ("vit", VISION),
    "xlm-roberta": ("xlm-roberta", ENCODER),
}


def config(case: str, **other):
    """The configuration of a case, some fields of another value."""
    model_type, fields = CASES[case]
    return AutoConfig.for_model(model_type, **(fields | other))


def frozen(case: str) -> bool:
    """Whether the head alone is trained."""
    return case.split("-")[0] in FROZEN


def family(case: str) -> str:
    """The name that `xexp list --models` has for a case's family."""
    fields = CASES[case][1]
    return "jina_bert" if fields.get("position_embedding_type") == "alibi" else CASES[case][0]


def auto(case: str):
    """The class that finds the classifier of a case: one of transformers, or a reference of ours."""
    reference = REFERENCES.get(case.split("-")[0])
    if reference is not None:
        return reference
    return AutoModelForImageClassification if is_image(case) else AutoModelForSequenceClassification


def model(case: str, folder: Path, **other):
    """A model of the case in training mode, by way of a saved folder whose tensors follow the rule.

    Names in a file are not always those in memory, so the rule goes by the file's. What is dropped out in training is
    nothing, by the configurations. `other` are fields of another value than the case has.
    """
    make = auto(case)
    build = make._from_config if hasattr(make, "_from_config") else make.from_config
    build(config(case, **other)).float().save_pretrained(folder)
    tensors = load_file(folder / WEIGHTS)
    filled = {name: values(name, t.shape) if t.dtype.kind == "f" else t for name, t in tensors.items()}
    save_file(filled, folder / WEIGHTS, metadata={"format": "pt"})
    network, loading = auto(case).from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not loading[kind], (case, kind, loading[kind])
    if frozen(case):
        for name, weight in network.named_parameters():
            weight.requires_grad_(name.startswith("classifier."))
    return network.float().train()


def sizes(case: str) -> dict:
    """The part of a case that says what it reads."""
    fields = CASES[case][1]
    return fields.get("vision_config", fields)


def is_image(case: str) -> bool:
    """Whether a case reads images."""
    return "num_channels" in sizes(case)


def of_size(case: str, size: int) -> dict:
    """What makes a case one of images of another size."""
    if "vision_config" in CASES[case][1]:
        return {"vision_config": sizes(case) | {"image_size": size}}
    return {"image_size": size}


def mix(words: np.ndarray) -> np.ndarray:
    """SplitMix64's output function. Source: Steele, Lea and Flood 2014."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def uniform(name: str, count: int) -> np.ndarray:
    """`count` numbers in [-1, 1), from a name and their places."""
    key = 0xCBF29CE484222325  # FNV-1a of the name
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        words = mix(np.uint64(key) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor by the rule."""
    u = uniform(name, math.prod(shape)).reshape(shape)
    if name.endswith("running_var"):
        u = 1.0 + 0.5 * u
    elif len(shape) > 1:
        u = u * 1.2 * math.sqrt(3.0 / math.prod(shape[1:]))
    elif name.endswith(("weight", "gamma", "lambda1", "lambda_1", "lambda_2", "layer_scale_parameter")):
        u = 1.0 + 0.2 * u
    else:
        u = 0.2 * u
    return u.astype(np.float32)


def texts(case: str) -> list[list[int]]:
    """Token ids of four texts of different lengths, without padding."""
    vocabulary = CASES[case][1]["vocab_size"]
    lengths = (5, 9, 3, 7)
    draws = uniform(f"{case} tokens", sum(lengths))
    # 0, 1 and 2 are what families call the start, padding and the end.
    ids = (3 + ((draws + 1.0) / 2.0 * (vocabulary - 3)).astype(int)).tolist()
    ends = np.cumsum(lengths)
    return [ids[end - length : end] for length, end in zip(lengths, ends, strict=True)]


def inputs(case: str, *, left: bool = False) -> dict[str, torch.Tensor]:
    """What the model is given: texts padded on the right, or the left, with a mask, or images."""
    if is_image(case):
        size = sizes(case)["image_size"]
        pixels = 1.5 * uniform(f"{case} pixels", 4 * 3 * size * size)
        return {"pixel_values": torch.from_numpy(pixels.astype(np.float32).reshape(4, 3, size, size))}
    rows = texts(case)
    longest = max(map(len, rows))
    pad = CASES[case][1]["pad_token_id"]
    ids = [padded(row, pad, longest, left=left) for row in rows]
    mask = [padded([1] * len(row), 0, longest, left=left) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def padded(row: list[int], filler: int, length: int, *, left: bool) -> list[int]:
    """A row filled up to a length."""
    fillers = [filler] * (length - len(row))
    return fillers + row if left else row + fillers
