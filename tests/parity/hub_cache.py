"""One cache with huggingface_hub: it reads what xexp fetched, and xexp reads, offline, what it fetched.

Both fetch the same model from a server on loopback that speaks the Hub's protocol.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ID = "org/mini"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "crates/bundled/models/mini-text"
PROGRAM = Path(os.environ.get("XEXP_PARITY_PROGRAM", ROOT / "target/release/xexp")).resolve()
SERVER = PROGRAM.parent / "examples/serve_folder"
NEEDED = ["config.json", "model.safetensors", "tokenizer.json"]


def clean_environment():
    """Nobody's caches, tokens or switches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XEXP_", "HUGGING"))}
    kept.pop("TRANSFORMERS_OFFLINE", None)
    return kept


def finetune(home, endpoint, output, *more):
    """A step of fine-tuning of the model of the Hub; returns the hash of the weights and the record."""
    command = [PROGRAM, "finetune", "--model", ID, "--max-steps", "1", "--limit-train", "64", "--device", "cpu"]
    command += ["--quiet", "--output", output, *more]
    environment = clean_environment() | {"HF_HOME": str(home), "HF_ENDPOINT": endpoint}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    record = json.loads((output / "run.json").read_text())
    assert record["inputs"]["model"]["commit"] == COMMIT, record["inputs"]["model"]
    return json.loads((output / "results.json").read_text())["weights_sha256"]


def tree(cache):
    """The files of a cache, below the repository's folder, with what links point to."""
    folder = cache / "models--org--mini"
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink()]
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else None for path in paths}


def main():
    """Fetches by either side, and reads by the other."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        [SERVER, ID, COMMIT, MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        place = Path(folder)
        endpoint = server.stdout.readline().strip()
        # Before the import: huggingface_hub reads its variables once.
        for name in set(os.environ) - set(clean_environment()):
            del os.environ[name]
        os.environ.update(HF_ENDPOINT=endpoint, HF_HOME=str(place / "theirs"), HF_HUB_DISABLE_TELEMETRY="1")
        from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache

        ours, theirs = place / "ours/hub", place / "theirs/hub"
        by_us = finetune(place / "ours", endpoint, place / "online")
        snapshot = Path(snapshot_download(ID, cache_dir=ours, local_files_only=True))
        assert snapshot.name == COMMIT, snapshot
        fetched = sorted(path.name for path in snapshot.iterdir())
        assert set(NEEDED) <= set(fetched), fetched
        for name in fetched:
            found = try_to_load_from_cache(ID, name, cache_dir=ours)
            assert isinstance(found, str), (name, found)
            assert Path(found).read_bytes() == (MODEL / name).read_bytes(), name
        scanned = scan_cache_dir(ours)
        assert not scanned.warnings, scanned.warnings
        (repository,) = scanned.repos
        assert repository.repo_id == ID and set(repository.refs) == {"main"}, repository

        for name in fetched:
            hf_hub_download(ID, name)
        assert tree(ours) == tree(theirs), (tree(ours), tree(theirs))
        server.stdin.close()
        server.wait()
        by_them = finetune(place / "theirs", endpoint, place / "offline", "--offline")
        assert by_us == by_them, (by_us, by_them)
    print(f"{len(fetched)} files: the same cache by xexp and by huggingface_hub, each read by the other")


if __name__ == "__main__":
    sys.exit(main())
