"""One protocol with huggingface_hub: both push the same model to a server on loopback, which gets the same requests.

The server keeps to what Python's client does, and ours says what Python's says: neither can be wrong by itself. What may
differ is the order of files, how many of them a question is about, and the title of the commit.
"""

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from hub_cache import PROGRAM, clean_environment

ID = "org/fine"
TOKEN = "hf_writer"
SERVER = PROGRAM.parent / "examples/serve_pushes"
PART = 1_000_000
COMMIT = f"POST /api/models/{ID}/commit/main"
BATCH = f"POST /{ID}.git/info/lfs/objects/batch"
# What a push takes, in this order; the questions that Python asks beside it are its own.
STEPS = ["POST /api/repos/create", f"POST /api/models/{ID}/preupload/main", BATCH, "PUT", "POST /complete", "POST /verify", COMMIT]


@contextlib.contextmanager
def server(*arguments):
    """A server for one push; what it has seen is in the second value when the block ends."""
    seen = {}
    command = [SERVER, ID, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip(), seen
        last, _ = process.communicate()
        seen.update(json.loads(last))


def ours(output, endpoint, *more):
    """A push by the program."""
    environment = clean_environment() | {"HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(output.parent / "hf")}
    command = [PROGRAM, "finetune", "--push", ID, "--output", output, "--quiet", "--device", "cpu", *more]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def theirs(folder, names, endpoint):
    """The same push by Python, in a process of its own: it reads its variables once."""
    code = (
        "import sys; from huggingface_hub import HfApi; api = HfApi(); folder, repo, *names = sys.argv[1:]\n"
        "api.create_repo(repo, repo_type=\"model\", private=True, exist_ok=True)\n"
        "api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=names)"
    )
    environment = clean_environment() | {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(folder.parent / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    subprocess.run([sys.executable, "-c", code, folder, ID, *names], check=True, env=environment)


def step(request):
    """Which step a request is of; None for one that only asks."""
    return next((step for step in STEPS if request["line"].startswith(step)), None)


def address(line):
    """A line without its signature."""
    return line.split("?")[0]


def said(requests):
    """What a client says in all requests of each step, without what may differ."""
    spoken = {}
    for request in requests:
        name = step(request)
        if name is None:
            continue
        words = spoken.setdefault(name, {"how": set(), "what": set()})
        kinds = (request["content-type"], request["accept"]) if name == BATCH else ()
        if name == COMMIT:
            kinds = (request["content-type"],)
        words["how"].add((request["storage"], request["authorized"], *kinds))
        words["what"].update(map(lambda item: json.dumps(item, sort_keys=True), items(name, request)))
    return spoken


def items(name, request):
    """The single statements of a request."""
    if name == "PUT":
        return [[address(request["line"]), request["length"], request["sha256"]]]
    if name == COMMIT:
        lines = [json.loads(line) for line in request["body"].splitlines()]
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"], lines[0]
        return lines[1:]
    body = json.loads(request["body"])
    if name == BATCH:
        assert body["transfers"] == ["basic", "multipart"], body
    if name == STEPS[0]:
        # The older of two spellings, which servers of every age take.
        private = body.pop("private", None) or body.pop("visibility", None) == "private"
        return [body | {"private": private}]
    for several in ("files", "objects"):
        if several in body:
            rest = {key: value for key, value in body.items() if key != several}
            return [rest | {"one": one} for one in body[several]]
    return [[address(request["line"]), body]]


def order(requests):
    """The steps, by when each was taken first."""
    return list(dict.fromkeys(name for name in map(step, requests) if name))


def compare(by_us, by_them, expected):
    """Holds two records against each other."""
    assert by_us["held"]["files"] == by_them["held"]["files"], (by_us["held"], by_them["held"])
    assert by_us["held"]["private"] and by_them["held"]["private"]
    assert expected.items() <= by_us["held"]["files"].items(), by_us["held"]
    assert order(by_us["requests"]) == order(by_them["requests"]), (order(by_us["requests"]), order(by_them["requests"]))
    we, they = said(by_us["requests"]), said(by_them["requests"])
    for name in we:
        assert we[name] == they[name], f"{name}\n{we[name]}\n{they[name]}"
    return order(by_us["requests"])


def main():
    """A push in one piece and one in parts, by either side."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "fine"
        steps = set()
        for parts, more in (([], ["--max-steps", "1", "--limit-train", "64"]), ([PART], ["--resume"])):
            with server(*parts) as (endpoint, by_us):
                ours(output, endpoint, *more)
            names = [name for name in by_us["held"]["files"] if name != ".gitattributes"]
            with server(*parts) as (endpoint, by_them):
                theirs(output, names, endpoint)
            here = {name: hashlib.sha256((output / name).read_bytes()).hexdigest() for name in names}
            steps.update(compare(by_us, by_them, here))
        assert steps == set(STEPS), steps
    print(f"{len(names)} files: the same requests, in one piece and in parts, by xexp and by huggingface_hub")


if __name__ == "__main__":
    sys.exit(main())
