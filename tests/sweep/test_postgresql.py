"""Studies on a real PostgreSQL server, which is restarted, full, or of another Optuna."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest

from pochitrain.error import ConfigError
from pochitrain.sweep import database
from pochitrain.sweep.storage import open_storage, resolve_storage
from tests.sweep.postgresql_server import USER, PostgresServer
from tests.sweep.test_signal import finish, start, trials, wait_for_directories

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
KEY = "optuna.storage"


def open_url(url: str) -> Any:
    return open_storage(resolve_storage(url, KEY), KEY)


def test_errors_before_any_training(server: PostgresServer) -> None:
    cases = {
        server.url.replace(server.password, "wr0ng"): r"user and password.*PGPASSWORD or in ~/\.pg",
        server.url.replace("/study", "/nosuch"): "database that exists.*Make it: createdb -h 127",
        f"postgresql://u:{server.password}@127.0.0.1:1/study": "server that answers.*pg_isready -h",
        f"postgresql://u:{server.password}@127.0.0.1:x/study": "be a URL like postgresql://",
        f"mysql+nosuch://u:{server.password}@h/study": "a storage that can be opened",
    }
    for url, message in cases.items():
        with pytest.raises(ConfigError, match=rf"^{KEY} must .*{message}") as caught:
            open_url(url)
        text = str(caught.value)
        assert server.password not in text and "wr0ng" not in text and "\n" not in text


def test_the_driver_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"package psycopg, .*pip install 'pochitrain\[postgres"):
        open_url("postgresql://u@h/db")


def test_several_searches_make_the_tables_at_once(server: PostgresServer) -> None:
    url = server.make_database("together")
    with ThreadPoolExecutor(6) as pool:
        storages = list(pool.map(open_url, [url] * 6))
    assert {len(storage.get_all_studies()) for storage in storages} == {0}
    versions = server.execute("SELECT count(*) FROM alembic_version", "together")
    assert versions == [(1,)]


@pytest.mark.parametrize(
    ("version", "advice"),
    [("v2.6.0.a", "older one.*optuna storage upgrade --storage '"), ("v99.0.0", "newer one.*-U")],
)
def test_tables_of_another_optuna(server: PostgresServer, version: str, advice: str) -> None:
    name = f"schema_{version[1:3].strip('.')}"
    url = server.make_database(name)
    open_url(url)
    server.execute(f"UPDATE alembic_version SET version_num = '{version}'", name)
    with pytest.raises(ConfigError, match=f"{version}, of an? {advice}") as caught:
        open_url(url)
    assert server.password not in str(caught.value)


def test_a_full_server_is_waited_for(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    open_url(server.url)
    monkeypatch.setattr(database, "PATIENCE_S", 0.5)
    taken = []
    with pytest.raises(psycopg.OperationalError, match="too many"):
        while True:
            taken.append(
                psycopg.connect(
                    host="127.0.0.1",
                    port=server.port,
                    user=USER,
                    password=server.password,
                    dbname="postgres",
                )
            )
    with pytest.raises(ConfigError, match=r"free connection.*max_connections"):
        open_url(server.url)
    monkeypatch.setattr(database, "PATIENCE_S", 120.0)
    timer = threading.Timer(0.5, lambda: [connection.close() for connection in taken])
    timer.start()
    assert open_url(server.url).get_all_studies() is not None
    timer.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_operations_wait_for_a_restart(server: PostgresServer, number: signal.Signals) -> None:
    """After a shutdown, and after a crash."""
    url = server.make_database(f"restart_{number.name.lower()}")
    study = optuna.create_study(study_name="s", storage=open_url(url), direction="maximize")
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    server.stop(number)
    timer = threading.Timer(1.0, server.start)
    timer.start()
    trial.report(0.5, 1)
    timer.join()
    assert not trial.should_prune()
    server.stop(number)
    timer = threading.Timer(0.5, server.start)
    timer.start()
    study.tell(trial, 2.0)
    timer.join()
    (found,) = optuna.load_study(study_name="s", storage=open_url(url)).trials
    assert (found.value, found.intermediate_values, len(found.params)) == (2.0, {1: 0.5}, 1)


def test_a_process_keeps_one_connection(server: PostgresServer) -> None:
    url = server.make_database("connections")
    storage = open_url(url)
    study = optuna.create_study(study_name="s", storage=storage)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: study.set_user_attr(str(number), number), range(20)))
    open_now = server.execute(
        "SELECT application_name FROM pg_stat_activity WHERE datname = 'connections' "
        "AND pid <> pg_backend_pid()",
        "postgres",
    )
    assert open_now == [("pochitrain",)]
    del storage


@pytest.mark.slow
def test_killed_searches_and_a_restart(server: PostgresServer, tmp_path: Path) -> None:
    """Three searches on one study: one is killed for good, and the server is restarted."""
    url = server.make_database("killed")
    folders = [tmp_path / name for name in "abc"]
    processes = [start(folder, url, "sleep_s=0.2") for folder in folders]
    wait_for_directories(folders[0], 2)
    processes[0].kill()
    processes[0].communicate()
    server.stop()
    time.sleep(1.0)
    server.start()
    assert [finish(process) for process in processes[1:]] == [0, 0]
    found = trials(resolve_storage(url))
    states = [trial.state.name for trial in found]
    assert states.count("COMPLETE") + states.count("PRUNED") == 12
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"}
    done = [trial.params for trial in found if trial.state.name != "FAIL"]
    assert len({tuple(params.items()) for params in done}) == 12, "a trial was done twice"
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert server.password not in file.read_text(), f"the password is in {file}"


@pytest.mark.slow
def test_the_password_is_in_no_file_of_a_search(
    server: PostgresServer, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    """Given on the command line, with trials in workers, and in a YAML file."""
    url = server.make_database("files")
    options = tmp_path / "options" / "optuna"
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text(f"defaults:\n  - random\n  - _self_\nstorage: {url}\n")
    pictures = make_folder(tmp_path / "pictures", {"bright": 10, "dark": 10})
    common = [
        *("data=folder", f"data.train_root={pictures}", "data.val_fraction=0.3"),
        *(
            "data.num_workers=0",
            "transform=minimal",
            "model=torchvision",
            "model.name=squeezenet1_1",
        ),
        *("optuna.optuna_epochs=1", f"work_dir={tmp_path}/out"),
    ]
    for words in (
        ["optuna=random", f"optuna.storage={url}", "optuna.n_trials=2", "optuna.n_jobs=2"],
        ["optuna=mine", f"--config-dir={tmp_path}/options", "optuna.n_trials=3"],
    ):
        command = [sys.executable, "train.py", "--multirun", *words, *common]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        assert server.password not in done.stdout + done.stderr
    made = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len([path for path in made if path.name == "config.yaml"]) >= 3
    leaked = [path for path in made if server.password.encode() in path.read_bytes()]
    assert not leaked
