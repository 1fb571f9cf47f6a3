"""The garbage collector waits while a single run is composed, never in the process of a sweep."""

import gc

import pytest

from pochitrain.cli.train import run


@pytest.mark.parametrize(
    ("argv", "is_on"),
    [(["seed=1"], False), (["-m", "seed=1"], True), (["hydra.mode=MULTIRUN"], True)],
    ids=str,
)
def test_garbage_collector(argv: list[str], is_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr("pochitrain.cli.app.run_app", lambda *_: seen.append(gc.isenabled()))
    run(argv, "train.py")
    assert seen == [is_on]
    assert gc.isenabled()
