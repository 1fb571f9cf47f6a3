"""A service under hostile load, on this machine only: its memory, and how soon /health answers.

    python scripts/hostile_serve.py [RUN] [--seconds 10] [--files 1024] [--device cpu]

Starts `pochi serve RUN` (without RUN: an untrained resnet18 whose transform keeps sizes, the worst
case) with as many file descriptors as is said, then, one after the other: half-sent headers and
bodies on more connections than there are descriptors, headers and bodies that drip, large pictures
that pack well (16 of 7000 x 7000 in a request), large bodies, and many small requests. Prints the
largest resident memory of the service and the longest that /health took, for each and in all.
"""

import argparse
import http.client
import io
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from pochitrain.engine.checkpoint import FORMAT
from pochitrain.model.classifier import build_classifier

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=q\r\n"
SAMPLE_S = 0.1


@dataclass
class Samples:
    """What was seen of the service."""

    rss_mb: list[float] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)


def write_run(folder: Path) -> Path:
    """A run directory with an untrained resnet18 whose transform keeps sizes."""
    model = {"_target_": "pochitrain.model.classifier.build_classifier", "name": "resnet18"}
    config = {
        "seed": 0,
        "batch_size": 32,
        "device": "cpu",
        "model": {**model, "num_classes": None, "pretrained": False, "weights": None},
        "data": {"_target_": "pochitrain.data.folder.open_folder", "background": [255, 255, 255]},
        "confusion_matrix": {},
    }
    step = {"_target_": "torchvision.transforms.ToTensor"}
    content = {
        "format": FORMAT,
        "model": build_classifier("resnet18", 2).state_dict(),
        "class_names": ["a", "b"],
        "transforms": {"train": [step], "val": [step]},
        "config": config,
        "epoch": 1,
    }
    (folder / "models").mkdir(parents=True)
    torch.save(content, folder / "models" / "best.pth")
    return folder


@contextmanager
def service(words: list[str], num_files: int, log: Path) -> Iterator[tuple[int, int]]:
    """`pochi serve` with `num_files` file descriptors; gives its process id and port."""
    program = "from pochitrain.cli.main import main; main()"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_files, num_files))

    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program, "serve", *words, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=limit,
        )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        port = int(lines[1].rsplit(":", 1)[1].strip().rstrip("/"))
        with suppress(OSError):
            ask_health(port, timeout_s=30)
        yield process.pid, port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def ask_health(port: int, timeout_s: float) -> float:
    """Seconds that a new connection takes to be answered."""
    started = time.monotonic()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with suppress(OSError, http.client.HTTPException):
        client.request("GET", "/health")
        if client.getresponse().status == 200:
            client.close()
            return time.monotonic() - started
    client.close()
    return timeout_s


def resident_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def watched(pid: int, port: int) -> Iterator[Samples]:
    """Samples the service meanwhile."""
    samples, done = Samples(), threading.Event()

    def watch_memory() -> None:
        while not done.wait(SAMPLE_S / 4):
            samples.rss_mb.append(resident_mb(pid))

    def watch_health() -> None:
        while not done.wait(SAMPLE_S):
            samples.health_s.append(ask_health(port, timeout_s=10))

    threads = [threading.Thread(target=watch) for watch in (watch_memory, watch_health)]
    for thread in threads:
        thread.start()
    try:
        yield samples
    finally:
        done.set()
        for thread in threads:
            thread.join()


def half_sent(port: int, seconds: float, seen: Counter[str]) -> None:
    """1,100 connections: headers that end in the middle, and bodies that do."""
    with ExitStack() as stack:
        for i in range(1100):
            body = FORM + b"Content-Length: 9999\r\n\r\n--q\r\n" if i % 2 else b""
            with suppress(OSError):
                client = socket.create_connection(("127.0.0.1", port), timeout=5)
                stack.enter_context(client)
                client.sendall(HEAD + body)
                seen["sent"] += 1
        time.sleep(seconds)


def dripping(port: int, seconds: float, seen: Counter[str]) -> None:
    """200 connections that send a byte twice a second."""
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        clients = []
        for i in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            client.sendall(HEAD + (FORM + b"Content-Length: 9999\r\n\r\n" if i % 2 else b"X: "))
            clients.append(client)
        while time.monotonic() < end:
            for client in clients:
                with suppress(OSError):
                    client.sendall(b"x")
                    seen["bytes"] += 1
            time.sleep(0.5)


def picture(side_px: int, mode: str = "RGB", kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side_px, side_px)).save(stream, kind)
    return stream.getvalue()


def form(contents: list[bytes]) -> bytes:
    part = b'--q\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return b"".join(part + content + b"\r\n" for content in contents) + b"--q--\r\n"


def post(port: int, body: bytes, seen: Counter[str]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    kind = {"Content-Type": "multipart/form-data; boundary=q"}
    try:
        client.request("POST", "/predict", body, kind)
        seen[str(client.getresponse().status)] += 1
    except (OSError, http.client.HTTPException) as error:
        seen[type(error).__name__] += 1
    finally:
        client.close()


def post_together(port: int, bodies: list[bytes], seen: Counter[str]) -> None:
    threads = [threading.Thread(target=post, args=(port, body, seen)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def large_pictures(port: int, seconds: float, seen: Counter[str]) -> None:
    """12 requests at once, each of 16 pictures of 7000 x 7000: RGB, with transparency, 16 bits."""
    for mode in ("RGB", "RGBA", "I;16"):
        post_together(port, [form([picture(7000, mode)] * 16)] * 4, seen)


def limit_pictures(port: int, seconds: float, seen: Counter[str]) -> None:
    """6 requests at once, each of one picture just below the default limit, 1990 x 1990."""
    post_together(port, [form([picture(1990)])] * 6, seen)


def large_bodies(port: int, seconds: float, seen: Counter[str]) -> None:
    """60 requests at once, each of 19 MB that are no picture."""
    post_together(port, [form([b"x" * 1_180_000] * 16)] * 60, seen)


def many(port: int, seconds: float, seen: Counter[str]) -> None:
    """400 requests at once, each of one small picture."""
    post_together(port, [form([picture(32)])] * 400, seen)


LOADS: tuple[Callable[[int, float, Counter[str]], None], ...] = (
    half_sent,
    dripping,
    large_pictures,
    limit_pictures,
    large_bodies,
    many,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", metavar="RUN")
    parser.add_argument("--seconds", type=float, default=10, help="that slow clients stay")
    parser.add_argument("--files", type=int, default=1024, help="descriptors of the service")
    parser.add_argument("--loads", nargs="*", default=[load.__name__ for load in LOADS])
    options, others = parser.parse_known_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = options.model or str(write_run(folder / "run"))
        log = folder / "log.txt"
        longest = largest = 0.0
        with service([run, *others], options.files, log) as (pid, port):
            print(f"at rest         {resident_mb(pid):8.0f} MB", flush=True)
            for load in LOADS:
                if load.__name__ not in options.loads:
                    continue
                seen: Counter[str] = Counter()
                with watched(pid, port) as samples:
                    load(port, options.seconds, seen)
                top, slow = max(samples.rss_mb), max(samples.health_s)
                largest, longest = max(largest, top), max(longest, slow)
                print(f"{load.__name__:<15} {top:8.0f} MB  /health {slow:6.3f} s", end="  ")
                print(dict(seen), flush=True)
        print(f"in all          {largest:8.0f} MB  /health {longest:6.3f} s")
        lines = log.read_text().splitlines()
        print(f"log: {len(lines)} lines, {sum('Traceback' in line for line in lines)} tracebacks")
        for line, count in Counter(lines).most_common(5):
            print(f"  {count} x {line}")


if __name__ == "__main__":
    main()
