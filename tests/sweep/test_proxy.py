"""The gRPC proxy between searches and a database."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest

from pochitrain.error import ConfigError
from pochitrain.sweep import proxy, proxy_client
from pochitrain.sweep.storage import open_storage

pytest.importorskip("grpc")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_proxy(url: str, port: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "pochitrain.sweep.proxy", url, "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"Proxy of {url} at grpc://localhost:{port}\n"
    return process


@pytest.mark.slow
def test_a_search_survives_a_restart_of_the_proxy(tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/s.db", free_port()
    process = start_proxy(url, port)
    study = optuna.create_study(study_name="s", storage=open_storage(f"grpc://localhost:{port}"))
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    process.kill()
    process.communicate()
    started: list[subprocess.Popen[str]] = []
    timer = threading.Timer(0.5, lambda: started.append(start_proxy(url, port)))
    timer.start()
    trial.report(1.0, 1)
    study.tell(trial, 2.0)
    timer.join()
    started[0].kill()
    started[0].communicate()
    (found,) = optuna.load_study(study_name="s", storage=open_storage(url)).trials
    assert (found.value, found.intermediate_values) == (2.0, {1: 1.0})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "grpc://localhost:{port}",
            "^optuna.storage must be a proxy that answers.*Start it: python",
        ),
        ("grpc://localhost:abc", "^optuna.storage must be a URL like grpc://host:13000, got"),
    ],
)
def test_no_proxy(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_client, "READY_S", 0.2)
    with pytest.raises(ConfigError, match=message):
        open_storage(url.format(port=free_port()), "optuna.storage")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["journal:///tmp/x.journal"], "URL must be that of a database, got 'journal:///tmp/x."),
        (["postgresql://u:s3cret@127.0.0.1:1/db"], "URL must be a server that answers, got "),
    ],
)
def test_a_proxy_of_nothing(
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["proxy", *words])
    with pytest.raises(SystemExit) as end:
        proxy.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and "s3cret" not in error
