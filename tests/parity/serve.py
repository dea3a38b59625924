"""`xexp serve` as its clients meet it: answers beside those of `xexp predict`, hostile bodies, and load.

The load is wrk's (a Debian package) on loopback: first some seconds to warm up, then the measured ones. No answer may be
anything but 200, and resident memory may not grow over the measured time.

Usage: python tests/parity/serve.py MODEL [--seconds 60] [--record FOLDER]
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import compare
import ours

TEXTS = ["play some jazz", "will it rain tomorrow in Paris", "book a table for two at noon", "rate this novel five stars"]
# Growth allowed while measured, in kB: allocator slack of a few batches, far below what a leak of one text a request makes.
GROWTH = 8_000
LUA = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = \'%s\'\n'


def main() -> None:
    """Checks; exits 1 when one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder that xexp finetune wrote")
    parser.add_argument("--seconds", type=int, default=60, help="of load")
    parser.add_argument("--connections", type=int, default=16, help="clients at a time")
    parser.add_argument("--record", type=Path, help="writes load.csv into this folder")
    args = parser.parse_args()
    line = [*ours.program(), "serve", "--model", str(args.model), "--port", "0", "--quiet"]
    server = subprocess.Popen(line, cwd=ours.ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        wait(address)
        good = [compare.report("answers", answers(address, args.model)), compare.report("hostile bodies", hostile(address))]
        page = subprocess.run(["tests/report/chromium.sh", f"{address}/docs", "Ask", "Answers", "Routes", "Limits"], cwd=ours.ROOT)
        rows, table = load(address, server.pid, args)
        good += [compare.report("load", rows), page.returncode == 0]
        server.send_signal(signal.SIGTERM)
        good.append(compare.report("the end", compare.equal("exit code", [server.wait(timeout=60)], [0])))
    finally:
        server.kill()
    if args.record and all(good):
        args.record.mkdir(parents=True, exist_ok=True)
        (args.record / "load.csv").write_text(table, encoding="utf-8")
    compare.finish(all(good))


def wait(address: str) -> None:
    """Until the model is loaded."""
    for _ in range(600):
        if post(address, "/health")[0] == 200:
            return
        time.sleep(0.1)
    raise SystemExit("not ready after a minute")


def post(address: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, dict]:
    """Status and body of an answer; a GET without a body."""
    request = urllib.request.Request(address + path, data=body, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def answers(address: str, model: Path) -> list[compare.Row]:
    """Each text alone, beside what predict says of it alone."""
    found, expected = [], []
    for text in TEXTS:
        status, answer = post(address, "/predict", json.dumps({"inputs": text, "logits": True}).encode())
        one = answer["predictions"][0] if status == 200 else answer
        found.append(str([one.get("label"), one.get("score"), one.get("logits")]))
        line = [*ours.program(), "predict", "--model", str(model), "--input", "-", "--quiet"]
        done = subprocess.run(line, cwd=ours.ROOT, input=text + "\n", text=True, capture_output=True, check=True)
        said = json.loads(done.stdout)
        expected.append(str([said["label"], said["score"], said["logits"]]))
    return compare.equal("labels, scores and logits, to the bit", found, expected)


def hostile(address: str) -> list[compare.Row]:
    """What must be refused, each with its status and two sentences."""
    cases = {
        "no JSON": (b"{", 400), "invalid UTF-8": (b'{"inputs": "\xff"}', 400), "nesting": (b'{"inputs": ' + b"[" * 100_000, 422),
        "a number": (b'{"inputs": 1}', 422), "nothing": (b'{"inputs": []}', 422), "an empty text": (b'{"inputs": " "}', 422),
        "an unknown field": (b'{"inputs": "a", "x": 1}', 422), "too long": (json.dumps({"inputs": "word " * 5000}).encode(), 422),
        "too many": (json.dumps({"inputs": ["a"] * 65}).encode(), 413), "too large": (b" " * 4_000_001, 413),
    }  # fmt: skip
    rows = []
    for name, (body, status) in cases.items():
        try:
            found, answer = post(address, "/predict", body)
        except (urllib.error.URLError, ConnectionError):
            # A client that is still sending when the answer comes may lose it with the connection.
            found, answer = (status, {"error": 1, "hint": 1}) if name == "too large" else (0, {})
        rows += compare.equal(name, [found, *sorted(answer)], [status, "error", "hint"])
    return rows


def load(address: str, pid: int, args: argparse.Namespace) -> tuple[list[compare.Row], str]:
    """The load, and its table."""
    if shutil.which("wrk") is None:
        subprocess.run("apt-get update -qq && apt-get install -y -qq wrk >/dev/null", shell=True, check=True)
    ours.SCRATCH.mkdir(parents=True, exist_ok=True)
    script = ours.SCRATCH / "serve.lua"
    script.write_text(LUA % json.dumps({"inputs": TEXTS[1]}), encoding="utf-8")
    wrk(address, script, args.connections, 10)
    before = resident(pid)
    said = wrk(address, script, args.connections, args.seconds)
    growth = resident(pid) - before
    errors = re.findall(r"(?:Socket errors|Non-2xx).*", said)
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])
    times = {name: milliseconds(re.search(rf"{name}%\s+(\S+)", said)[1]) for name in ("50", "75", "90", "99")}
    rows = compare.equal("errors", errors, [])
    rows.append(compare.Row("growth of memory, kB", str(growth), f"below {GROWTH}", growth < GROWTH))
    rows.append(compare.Row("requests a second", f"{rate:.0f}", "some", rate > 0))
    head = "connections,seconds,requests_per_second,p50_ms,p75_ms,p90_ms,p99_ms,resident_mb,growth_kb"
    values = [args.connections, args.seconds, f"{rate:.0f}", *(f"{x:.1f}" for x in times.values()), before // 1000, growth]
    return rows, head + "\n" + ",".join(map(str, values)) + "\n"


def wrk(address: str, script: Path, connections: int, seconds: int) -> str:
    """What wrk says of a load."""
    line = ["wrk", "--latency", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(script), f"{address}/predict"]
    said = subprocess.run(line, text=True, capture_output=True, check=True).stdout
    print(said)
    return said


def milliseconds(text: str) -> float:
    """wrk's times: 1.20ms, 350us, 1.1s."""
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit]


def resident(pid: int) -> int:
    """Resident memory of a process, in kB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    main()
