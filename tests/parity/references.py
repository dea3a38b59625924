"""Classifiers for backbones of which transformers has the bare model, or none: what our tests take as the reference."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, T5EncoderModel


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens of a padded batch."""
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


class T5EncoderClassifier(T5EncoderModel):
    """T5's encoder under a linear layer on the mean of its tokens."""

    def __init__(self, config) -> None:
        """Encoder and layer."""
        super().__init__(config)
        self.classifier = nn.Linear(config.d_model, config.num_labels)

    def forward(self, input_ids, attention_mask):
        """Logits."""
        hidden = super().forward(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SimpleNamespace(logits=self.classifier(mean(hidden, attention_mask)))


class JinaClassifier(nn.Module):
    """BERT with linear biases of attention and gated feed-forward layers, under a linear layer on the mean of its tokens.

    Sources: Günther et al. 2023 (jina-embeddings-v2); Press et al. 2022, §3 (ALiBi) for the slopes; Shazeer 2020 (GEGLU).
    """

    def __init__(self, config) -> None:
        """All layers, by the names of the checkpoints on the Hub."""
        super().__init__()
        self.config, width, eps = config, config.hidden_size, config.layer_norm_eps
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(config.vocab_size, width),
            "token_type_embeddings": nn.Embedding(config.type_vocab_size, width),
            "LayerNorm": nn.LayerNorm(width, eps=eps),
        })
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(self.block() for _ in range(config.num_hidden_layers))})
        self.classifier = nn.Linear(width, config.num_labels)

    def block(self) -> nn.ModuleDict:
        """One block."""
        width, hidden, eps = self.config.hidden_size, self.config.intermediate_size, self.config.layer_norm_eps
        attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        output = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=eps)})
        mlp = {
            "gated_layers": nn.Linear(width, 2 * hidden, bias=False),
            "wo": nn.Linear(hidden, width),
            "layernorm": nn.LayerNorm(width, eps=eps),
        }
        return nn.ModuleDict({
            "attention": nn.ModuleDict({"self": attention, "output": output}),
            "mlp": nn.ModuleDict(mlp),
        })

    def forward(self, input_ids, attention_mask):
        """Logits."""
        words = self.embeddings["word_embeddings"](input_ids)
        types = self.embeddings["token_type_embeddings"].weight[0]
        hidden = self.embeddings["LayerNorm"](words + types)
        places = torch.arange(input_ids.shape[1])
        apart = (places[:, None] - places[None, :]).abs().to(hidden.dtype)
        slopes_ = torch.tensor(slopes(self.config.num_attention_heads), dtype=hidden.dtype)
        bias = -slopes_[None, :, None, None] * apart
        bias = bias.masked_fill(attention_mask[:, None, None, :] == 0, -math.inf)
        for block in self.encoder["layer"]:
            hidden = self.run(block, hidden, bias)
        return SimpleNamespace(logits=self.classifier(mean(hidden, attention_mask)))

    def run(self, block: nn.ModuleDict, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """What a block makes of the hidden states."""
        heads = self.config.num_attention_heads
        own, output, mlp = block["attention"]["self"], block["attention"]["output"], block["mlp"]
        q, k, v = (own[name](x).unflatten(-1, (heads, -1)).transpose(1, 2) for name in ("query", "key", "value"))
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + bias, -1)
        x = output["LayerNorm"](x + output["dense"]((weights @ v).transpose(1, 2).flatten(2)))
        gate, up = mlp["gated_layers"](x).chunk(2, -1)
        return mlp["layernorm"](x + mlp["wo"](nn.functional.gelu(gate) * up))

    def save_pretrained(self, folder: Path) -> None:
        """As a folder of the Hub."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "config.json").write_text(json.dumps(self.config.to_diff_dict()), encoding="utf-8")
        state = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, Path(folder) / "model.safetensors", metadata={"format": "pt"})

    @classmethod
    def _from_config(cls, config) -> "JinaClassifier":
        return cls(config)

    @classmethod
    def from_pretrained(cls, folder: Path, output_loading_info: bool = False, **_):
        """From a folder; every tensor must be there."""
        network = cls(AutoConfig.from_pretrained(folder))
        keys = network.load_state_dict(load_file(Path(folder) / "model.safetensors"), strict=False)
        loading = {
            "missing_keys": keys.missing_keys, "unexpected_keys": keys.unexpected_keys, "mismatched_keys": [], "error_msgs": [],
        }  # fmt: skip
        return (network, loading) if output_loading_info else network


def slopes(heads: int) -> list[float]:
    """How fast attention falls off, by head."""
    power = 2 ** math.floor(math.log2(heads))
    first = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    if power == heads:
        return first
    finer = [2.0 ** (-4.0 * (i + 1) / power) for i in range(2 * power)]
    return first + finer[0::2][: heads - power]
