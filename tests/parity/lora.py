"""LoRA adapters between `xexp` and PEFT, there and back, on tiny models of many families and on the real backbone.

For each case: transformers makes a base model without a head, `xexp finetune --strategy lora` trains an adapter on it, PEFT
opens the adapter and gives the logits of `xexp predict`; `xexp merge` makes a model that transformers opens with these logits
too; an adapter that PEFT made and trained for some steps gives its own logits in `xexp predict`. One case more trains the same
adapter by PEFT and AdamW step by step, and compares what both end with. Adapters of other kinds are refused.

Usage: python tests/parity/lora.py [CASE...]     (default: all)
"""

import argparse
import json
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

import accuracy_cases
import backbones
import compare
import families
import ours
import roundtrip
import tiny

WORK = ours.SCRATCH / "lora"
# What differs from the default of queries and values.
CASES = {
    "albert": [], "bert": [], "camembert": ["--lora-targets", "query,dense"], "convnext": [], "deberta-v2": [],
    "deberta-v3": ["--lora-targets", "all-linear"], "deit": [], "dinov2": ["--lora-targets", "all-linear"],
    "dinov2-swiglu": ["--lora-targets", "all-linear"], "distilbert": [], "electra": [], "gpt2": ["--lora-targets", "c_attn,c_proj"], "llama": [], "modernbert": [],
    "mpnet": [], "qwen2": ["--lora-targets", "all-linear"], "qwen3": [], "roberta": [], "swin": [],
    "vit": ["--lora-targets", "all-linear"], "xlm-roberta": [], "beit": [],
}  # fmt: skip
STEPS = {"bert": [], "gpt2": ["--lora-targets", "c_attn,c_proj"], "qwen2": ["--lora-targets", "all-linear"]}
ADAPTERS = ["--lora-rank", 3, "--lora-alpha", 7, "--lr", 0.02]


def main() -> None:
    """Goes through the cases; exits 1 when one of them does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help="which cases, or minilm, steps, refusals")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # An adapter of gpt2 says by itself which way its weights lie.
    warnings.filterwarnings("ignore", module="peft")
    shutil.rmtree(WORK, ignore_errors=True)
    # Where the tables and pictures of the cases go.
    families.WORK = WORK
    others = {"minilm": minilm, "steps": steps, "refusals": refusals}
    known = [*CASES, *others]
    if wrong := [case for case in args.cases if case not in known]:
        parser.error(f"unknown: {wrong}; expected some of {known}")
    found = []
    for case in args.cases or known:
        torch.manual_seed(0)
        (WORK / case).mkdir(parents=True, exist_ok=True)
        found.append(compare.report(case, others[case]() if case in others else rows(case)))
    compare.finish(all(found))


def rows(case: str) -> list[compare.Row]:
    """One tiny model: ours in PEFT, merged in transformers, PEFT's in ours."""
    base, trained, merged, theirs = (WORK / case / name for name in ("base", "trained", "merged", "theirs"))
    tiny.model(case, base, **(tiny.of_size(case, families.SIZE) if tiny.is_image(case) else {}))
    headless(base)
    if tiny.is_image(case):
        shutil.copy(families.PREPROCESSOR, base)
        data = ["--train", "bundled:symbols", "--limit-train", 64]
    else:
        families.tokenizer(case).save_pretrained(base)
        data = ["--train", families.table(case), "--batch-size", 8]
    flags = ["--model", base, *data, "--epochs", 3, "--strategy", "lora", *ADAPTERS, *CASES[case]]
    ours.run(ours.program(), "finetune", *flags, "--output", trained, "--quiet", stdout=subprocess.DEVNULL)
    return there(case, base, trained, merged) + back(case, base, trained, theirs)


def headless(base: Path) -> None:
    """Leaves the head out, as a pretrained checkpoint does, so that nobody may take it from there."""
    tensors = load_file(base / tiny.WEIGHTS)
    heads = ("classifier.", "score.", "pre_classifier.")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}
    assert len(kept) < len(tensors), sorted(tensors)
    save_file(kept, base / tiny.WEIGHTS, metadata={"format": "pt"})


def opened(case: str, base: Path, config) -> torch.nn.Module:
    """The base model by transformers, with a head of the configuration's size that is drawn at random."""
    return tiny.auto(case).from_pretrained(base, config=config, attn_implementation="eager").float().eval()


@torch.no_grad()
def there(case: str, base: Path, trained: Path, merged: Path) -> list[compare.Row]:
    """Our adapter in PEFT, and merged in transformers."""
    model = opened(case, base, AutoConfig.from_pretrained(trained))
    model = PeftModel.from_pretrained(model, trained)
    found = keys(model, trained)
    predicted, theirs = logits(case, trained, model.eval())
    found += compare.close(f"{len(predicted)} logits in PEFT", predicted, theirs)
    config = json.loads((trained / "adapter_config.json").read_text(encoding="utf-8"))
    found += compare.equal("fan_in_fan_out", [config["fan_in_fan_out"]], [case == "gpt2"])

    ours.run(ours.program(), "merge", trained, "--output", merged, "--quiet", stdout=subprocess.DEVNULL)
    whole, loading = tiny.auto(case).from_pretrained(merged, output_loading_info=True)
    found += roundtrip.keys(loading) + roundtrip.names(merged, whole.config)
    again, theirs = logits(case, merged, whole.eval())
    found += compare.close("merged, by both", again, theirs)
    return found + compare.close("merged and not", again, predicted)


def keys(model: PeftModel, folder: Path) -> list[compare.Row]:
    """Every trained tensor of PEFT's model is in the file, with that value, and no other."""
    held = load_file(folder / "adapter_model.safetensors")
    names = [name for name, _ in model.named_parameters() if ".lora_" in name or ".modules_to_save." in name]
    found = compare.equal("number of trained tensors", [len(held)], [len(names)])
    # Which is which PEFT itself decides; that all have arrived shows in their sums.
    sums = sorted(float(t.double().sum()) for t in held.values())
    parameters = dict(model.named_parameters())
    theirs = sorted(float(parameters[name].double().sum()) for name in names)
    return found + compare.close("sums of trained tensors", np.array(sums), np.array(theirs), 1e-9)


def logits(case: str, folder: Path, model) -> tuple[np.ndarray, np.ndarray]:
    """Ours and theirs, of test pictures or of texts of all lengths."""
    predicted, theirs = (families.images if tiny.is_image(case) else families.texts)(case, folder, model)
    return np.array([one["logits"] for one in predicted]), theirs


def back(case: str, base: Path, trained: Path, folder: Path) -> list[compare.Row]:
    """An adapter that PEFT made, with biases in no order of ours, in `xexp predict`."""
    config = json.loads((trained / "adapter_config.json").read_text(encoding="utf-8"))
    whole = AutoConfig.from_pretrained(trained)
    model = opened(case, base, whole)
    lora = LoraConfig(
        task_type=config["task_type"], r=4, lora_alpha=6, use_rslora=case in ("bert", "gpt2"),
        target_modules=config["target_modules"], modules_to_save=config["modules_to_save"],
        fan_in_fan_out=config["fan_in_fan_out"], init_lora_weights="gaussian",
    )  # fmt: skip
    model = get_peft_model(model, lora)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    given = tiny.inputs(case) if not tiny.is_image(case) else pictures(case, trained)
    labels = torch.arange(next(iter(given.values())).shape[0]) % whole.num_labels
    for _ in range(5):
        optimizer.zero_grad()
        model(**given, labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    # PEFT keeps neither of these; the base has them.
    file = folder / "adapter_config.json"
    written = json.loads(file.read_text(encoding="utf-8")) | {"base_model_name_or_path": str(base)}
    file.write_text(json.dumps(written), encoding="utf-8")
    found = compare.equal("no configuration of the model", [(folder / "config.json").exists()], [False])
    # For the comparison alone, which reads texts and pictures by transformers.
    if tiny.is_image(case):
        shutil.copy(families.PREPROCESSOR, folder)
    else:
        families.tokenizer(case).save_pretrained(folder)
    with torch.no_grad():
        predicted, theirs = logits(case, folder, model)
    return found + compare.close(f"{len(predicted)} logits of PEFT's adapter", predicted, theirs)


def pictures(case: str, folder: Path) -> dict[str, torch.Tensor]:
    """Some of the test pictures."""
    _, pixels = backbones.symbols(WORK / case / "test.bin", folder)
    return {"pixel_values": pixels[:8]}


def minilm() -> list[compare.Row]:
    """The real backbone, on SNIPS."""
    base, trained, merged = ours.backbone(), WORK / "minilm" / "trained", WORK / "minilm" / "merged"
    snips = ours.shared() / "data" / "text" / "snips"
    data = ["--train", snips / "train.csv", "--valid", snips / "validate.csv", "--limit-train", 640, "--epochs", 1]
    flags = ["--model", base, *data, "--strategy", "lora", "--output", trained, "--quiet"]
    ours.run(ours.program(), "finetune", *flags, stdout=subprocess.DEVNULL)
    texts, _ = roundtrip.spread(snips / "validate.csv", 200)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    config = AutoConfig.from_pretrained(trained)
    model = PeftModel.from_pretrained(opened("bert", base, config), trained).eval()
    predicted = np.array([one["logits"] for one in roundtrip.predict(trained, texts)])
    found = compare.close("200 logits in PEFT", predicted, roundtrip.logits(model, tokenizer, texts))
    ours.run(ours.program(), "merge", trained, "--output", merged, "--quiet", stdout=subprocess.DEVNULL)
    whole = tiny.auto("bert").from_pretrained(merged).eval()
    again = np.array([one["logits"] for one in roundtrip.predict(merged, texts)])
    found += compare.close("merged, by both", again, roundtrip.logits(whole, tokenizer, texts))
    return found + compare.close("merged and not", again, predicted)


def steps() -> list[compare.Row]:
    """Some steps of AdamW from the same adapter, over all examples at once, in PEFT and here.

    The adapter begins as `xexp` drew it: a run of one step with a rate of nearly nothing leaves it as it was, B within the
    rate of zero. The order of a batch does not matter to its mean.
    """
    found = []
    for case, more in STEPS.items():
        base, table = WORK / "steps" / case / "base", WORK / "steps" / case / "train.csv"
        (WORK / case).mkdir(parents=True, exist_ok=True)
        tiny.model(case, base)
        headless(base)
        families.tokenizer(case).save_pretrained(base)
        table.write_bytes(families.table(case).read_bytes())
        flags = ["--model", base, "--train", table, "--valid", table, "--strategy", "lora", "--lora-rank", 3, *more]
        flags += ["--batch-size", 64, "--schedule", "constant", "--warmup", 0, "--quiet", "--seed", 5]
        begun, ended = WORK / "steps" / case / "begun", WORK / "steps" / case / "ended"
        for folder, steps, rate in (begun, 1, 1e-12), (ended, 3, 0.01):
            last = ["--max-steps", steps, "--lr", rate, "--output", folder]
            ours.run(ours.program(), "finetune", *flags, *last, stdout=subprocess.DEVNULL)
        # Which step's weights were kept is a matter of scores.
        taken = json.loads((ended / "results.json").read_text(encoding="utf-8"))["best_step"]
        found.append(compare.Row(f"{case}: steps compared", str(taken), "2 or 3", taken > 1))
        model = opened(case, base, AutoConfig.from_pretrained(begun))
        model = PeftModel.from_pretrained(model, begun, is_trainable=True).eval()
        optimizer = torch.optim.AdamW(groups(model), lr=0.01, betas=(0.9, 0.999), eps=1e-8)
        texts, labels = accuracy_cases.read(table)
        names = {name: label for label, name in model.config.id2label.items()}
        tokens = PreTrainedTokenizerFast.from_pretrained(base)
        batch = tokens(texts, padding=True, return_tensors="pt")
        for _ in range(taken):
            optimizer.zero_grad()
            model(**batch, labels=torch.tensor([names[label] for label in labels])).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.save_pretrained(WORK / "steps" / case / "peft")
        theirs = load_file(WORK / "steps" / case / "peft" / "adapter_model.safetensors")
        held = load_file(ended / "adapter_model.safetensors")
        found += compare.equal(f"{case}: tensors", sorted(held), sorted(theirs))
        for name in held:
            # Adam's first step is the gradient's sign: where a gradient is rounding alone, steps differ by the rate.
            apart = (held[name] - theirs[name]).abs()
            share = float((apart > 1e-4).float().mean())
            found.append(compare.measured(f"{case}: {name}, share apart", share, 0.02))
            found.append(compare.measured(f"{case}: {name}, median", float(apart.median()), 1e-6))
    return found


def groups(model) -> list[dict]:
    """Decay for matrices, none for biases: ours and the Trainer's."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for _, p in trained if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for _, p in trained if p.dim() == 1], "weight_decay": 0.0},
    ]


def refusals() -> list[compare.Row]:
    """Adapters that are another function of the model end with code 2 and the field's name."""
    base, trained = WORK / "refusals" / "base", WORK / "refusals" / "trained"
    tiny.model("bert", base)
    families.tokenizer("bert").save_pretrained(base)
    (WORK / "bert").mkdir(parents=True, exist_ok=True)
    table = families.table("bert")
    flags = ["--model", base, "--train", table, "--strategy", "lora", "--max-steps", 1, "--quiet"]
    ours.run(ours.program(), "finetune", *flags, "--output", trained, stdout=subprocess.DEVNULL)
    found = []
    for field, lora in {
        "use_dora": LoraConfig(use_dora=True, target_modules=["query"]),
        "init_lora_weights": LoraConfig(init_lora_weights="pissa", target_modules=["query"]),
        "rank_pattern": LoraConfig(rank_pattern={"query": 2}, target_modules=["query", "value"]),
        "bias": LoraConfig(bias="all", target_modules=["query"]),
        "lora_embedding_A": LoraConfig(target_modules=["word_embeddings"]),
    }.items():
        folder = WORK / "refusals" / field
        get_peft_model(opened("bert", base, AutoConfig.from_pretrained(base)), lora).save_pretrained(folder)
        file = folder / "adapter_config.json"
        written = json.loads(file.read_text(encoding="utf-8")) | {"base_model_name_or_path": str(base)}
        file.write_text(json.dumps(written), encoding="utf-8")
        found += refused(field, ["predict", "--model", folder, "--input", table])
    return found + refused("xexp merge", ["finetune", "--model", trained, "--train", table])


def refused(named: str, command: list) -> list[compare.Row]:
    """The exit code, and whether the message names what it must."""
    line = [*ours.program(), *map(str, command)]
    done = subprocess.run(line, cwd=ours.ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    rows = compare.equal(f"{named}: exit code", [done.returncode], [2])
    return rows + compare.equal(f"{named}: is named", [named in done.stderr], [True])


if __name__ == "__main__":
    main()
