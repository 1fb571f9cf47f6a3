"""`pochi serve` as a process: addresses it refuses, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Pochi = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "--port must be <= 65535, got 70000"),
        (["--host", "a..b"], "--host and --port must be a free address"),
        (["--port", "x"], "must be an integer >= 0, got 'x'"),
        (["--device", "cuda:99"], "device must be available"),
    ],
)
def test_wrong_words(
    pochi: Pochi, make_run: Callable[..., Path], words: list[str], said: str
) -> None:
    outcome = pochi(str(make_run(["a", "b"])), *words, command="serve", prog="pochi")
    assert outcome.code == 2
    assert said in outcome.err


def test_a_taken_port(pochi: Pochi, make_run: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        outcome = pochi(str(make_run(["a", "b"])), "--port", port, command="serve", prog="pochi")
    assert outcome.code == 2
    assert f"127.0.0.1:{port}" in outcome.err


def test_the_extra_is_missing(
    pochi: Pochi, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    outcome = pochi(str(make_run(["a", "b"])), command="serve", prog="pochi")
    assert outcome.code == 1
    assert "pip install 'pochitrain[serve]'" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_it_ends_soon_when_told_to_although_a_request_is_under_way(
    make_run: Callable[..., Path], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    program = "from pochitrain.cli.main import main; main()"
    words = [sys.executable, "-c", program, "serve", str(make_run(["a", "b"]))]
    process = subprocess.Popen(
        [*words, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        port = int(re.findall(r":(\d+)/", lines[1])[0])
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
                b"Content-Type: multipart/form-data; boundary=q\r\n\r\n--q\r\n"
            )
            time.sleep(1)
            process.send_signal(sent)
            assert process.wait(timeout=20) == code
        assert "Traceback" not in process.stdout.read()
    finally:
        process.kill()
        process.stdout.close()
