"""Makes the bad data files and bad checkpoints of `bad_input.sh`, by the standard library alone.

Usage: python3 tests/parity/bad_inputs.py MODEL FOLDER
"""

import json
import shutil
import struct
import sys
from pathlib import Path


def main() -> None:
    """Data files in `FOLDER/data`, a checkpoint a fault beside it."""
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    tables(folder / "data")
    weights = (model / "model.safetensors").read_bytes()
    header, body = parts(weights)
    checkpoint(model, folder / "truncated", weights[: len(weights) // 2])
    checkpoint(model, folder / "corrupted", weights[:8] + b"\xff" * 64 + weights[72:])
    prefix = "bert." if any(name.startswith("bert.") for name in header) else ""
    query = f"{prefix}encoder.layer.0.attention.self.query.weight"
    # Renamed, not cut out: the file itself stays valid, as its offsets must leave no gap.
    renamed = {"not.known" if name == query else name: entry for name, entry in header.items()}
    checkpoint(model, folder / "missing", joined(renamed, body))
    norm = f"{prefix}embeddings.LayerNorm.weight"
    width = header[norm]["shape"][0]
    bent = {**header, norm: {**header[norm], "shape": [2, width // 2]}}
    checkpoint(model, folder / "shape", joined(bent, body))
    checkpoint(model, folder / "pickle", None)
    # The first bytes of what torch.save writes: a zip archive with a pickle inside.
    (folder / "pickle" / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + bytes(64))
    config = json.loads((model / "config.json").read_text())
    checkpoint(model, folder / "type", weights, json.dumps({**config, "model_type": "wobble"}))
    checkpoint(model, folder / "config", weights, '{"model_type": "bert",')


def tables(folder: Path) -> None:
    """Small labelled files, good and bad; lines are counted from 1, the header's."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"a {color} thing number {row},{color}" for row in range(12) for color in ("red", "blue")]
    files = {
        "good.csv": ["text,label", *rows],
        "sentence.csv": ["sentence,label", *rows],
        "ragged.csv": ["text,label", *rows[:2], "one,two,three", *rows[2:]],
        "one_class.csv": ["text,label", *(row for row in rows if row.endswith("red"))],
        "empty_text.csv": ["text,label", *rows[:3], ",red", *rows[3:]],
        "empty.csv": [],
        "unseen.csv": ["text,label", *rows[:4], "a purple thing,purple"],
        "broken.jsonl": [
            '{"text": "a red thing", "label": "red"}',
            '{"text": "a blue thing", "label": "blue"}',
            '{"text": "a red thing, "label": "red"}',
        ],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def checkpoint(model: Path, folder: Path, weights: bytes | None, config: str | None = None) -> None:
    """A copy of the model with other weights (or none) and, where given, another configuration."""
    folder.mkdir(parents=True)
    for path in model.iterdir():
        if path.is_file() and path.name != "model.safetensors":
            shutil.copy(path, folder)
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
    if config is not None:
        (folder / "config.json").write_text(config, encoding="utf-8")


def parts(weights: bytes) -> tuple[dict, bytes]:
    """Header and body of a safetensors file: eight bytes of length, JSON, values."""
    (length,) = struct.unpack("<Q", weights[:8])
    return json.loads(weights[8 : 8 + length]), weights[8 + length :]


def joined(header: dict, body: bytes) -> bytes:
    """A safetensors file of these parts; the header is padded with spaces to whole words."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


if __name__ == "__main__":
    main()
