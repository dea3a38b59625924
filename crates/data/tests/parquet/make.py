"""Writes the Parquet files of this folder and, in expected.json, what pyarrow reads from them.

    pip install pyarrow pillow && python make.py

The key `huggingface` in a file's metadata is the one that the library `datasets` writes.
"""

import base64
import io
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pyarrow.parquet import encryption

FOLDER = pathlib.Path(__file__).parent


def write(name, table, features=None, **options):
    if features is not None:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    pq.write_table(table, FOLDER / name, **options)


STRING = {"dtype": "string", "_type": "Value"}
CLASSES = {"text": STRING, "label": {"names": ["neutral", "angry", "glad"], "_type": "ClassLabel"}}


def classes():
    """Integer labels with names in the metadata, not in alphabetical order; two shards of one split."""
    texts = [f"sentence {i}, über \"quotes\"\n" for i in range(7)]
    labels = [2, 0, 1, 1, 0, 2, 2]
    for shard, rows in enumerate([slice(0, 4), slice(4, 7)]):
        table = pa.table({"text": texts[rows], "label": pa.array(labels[rows], pa.int64())})
        write(f"train-0000{shard}-of-00002.parquet", table, CLASSES, compression="snappy", row_group_size=3)


def kinds():
    """Every type that a label may have, in row groups of two rows, as second-version data pages."""
    columns = {
        "sentence": pa.array(["a", "b", "c", "d", "e"], pa.large_string()),
        "id": pa.array([10, 20, 30, 40, 2**32 - 1], pa.uint32()),
        "string": pa.array(["x", " y", "x", "x", "y"]).dictionary_encode(),
        "tiny": pa.array([-1, 0, 1, 0, 1], pa.int8()),
        "large": pa.array([2**64 - 1, 0, 2**63, 0, 1], pa.uint64()),
        "short": pa.array([65535, 0, 1, 0, 1], pa.uint16()),
        "single": pa.array([0.0, 1.0, -2.0, 0.0, 1.0], pa.float32()),
        "double": pa.array([0.0, 1.0, 1e15, 0.0, 1.0], pa.float64()),
        "truth": pa.array([True, False, True, True, False]),
        "binary": pa.array([b"a", b"b", b"a", b"a", b"b"], pa.binary()),
    }
    write("kinds.parquet", pa.table(columns), compression="zstd", row_group_size=2, data_page_version="2.0")


def faults():
    """Rows that cannot be used: nulls, class ids without a name, scores; and columns that cannot be used at all."""
    columns = {
        "text": ["good", None, "null label", "no name", "-1", "blank", "score", "last"],
        "label": pa.array([0, 1, None, 3, -1, 1, 2, 1], pa.int32()),
        "score": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.5, float("nan")],
        "tokens": [["a"], [], None, ["b", "c"], [], [], [], []],
        "pair": [{"a": 1}] * 8,
        "day": pa.array([0] * 8, pa.date32()),
        "bytes": pa.array([b"\xff"] + [b"a"] * 7, pa.binary()),
    }
    features = {**CLASSES, "score": {"dtype": "float64", "_type": "Value"}}
    write("faults.parquet", pa.table(columns), features, compression="gzip")


def hidden():
    """A test split whose labels are kept back."""
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([-1, -1, -1], pa.int64())})
    write("hidden.parquet", table, CLASSES)


def images():
    """Images as the feature `Image` of `datasets` stores them, as plain bytes, and as paths."""
    pictures = []
    for grey in [10, 20, 30]:
        buffer = io.BytesIO()
        Image.new("L", (6, 8), grey).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    both = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    stored = [{"bytes": pictures[0], "path": "one.png"}, {"bytes": pictures[1], "path": None}, None,
              {"bytes": None, "path": None}, {"bytes": b"no image", "path": "x.png"},
              {"bytes": pictures[2], "path": "three.png"}]
    columns = {
        "image": pa.array(stored, both),
        "plain": pa.array([pictures[i] for i in [0, 1, 2, 0, 1, 2]], pa.binary()),
        "label": pa.array([1, 0, 1, 0, 1, 0], pa.int64()),
    }
    names = {"names": ["dim", "bright"], "_type": "ClassLabel"}
    write("images.parquet", pa.table(columns), {"image": {"_type": "Image"}, "label": names}, compression="lz4")


class Keys(encryption.KmsClient):
    """A key service that wraps a key by writing it down: enough for a file that nobody is to read."""

    def __init__(self, connection):
        super().__init__()

    def wrap_key(self, key, name):
        return base64.b64encode(key)

    def unwrap_key(self, wrapped, name):
        return base64.b64decode(wrapped)


def encrypted():
    table = pa.table({"text": ["a", "b"], "label": ["x", "y"]})
    for name, plain in [("encrypted.parquet", False), ("encrypted-columns.parquet", True)]:
        settings = encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plain)
        factory = encryption.CryptoFactory(Keys)
        properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), settings)
        with pq.ParquetWriter(FOLDER / name, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)


def expected():
    """The values as pyarrow reads them, bytes in hexadecimal."""
    def plain(value):
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return value

    read = {}
    for path in sorted(FOLDER.glob("*.parquet")):
        if not path.name.startswith(("encrypted", "faults")):
            columns = pq.read_table(path).to_pydict()
            read[path.name] = {name: [plain(value) for value in values] for name, values in columns.items()}
    (FOLDER / "expected.json").write_text(json.dumps(read, indent=1) + "\n")


if __name__ == "__main__":
    for step in [classes, kinds, faults, hidden, images, encrypted, expected]:
        step()
