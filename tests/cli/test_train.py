"""The command `pochi train`, apart from the training."""

import contextlib
import gc

import pytest

from pochitrain.cli.main import main


@pytest.mark.parametrize("argv", [["train", "--cfg", "job"], ["train", "epochs=0"]])
def test_the_garbage_collector_is_on_afterwards(argv: list[str]) -> None:
    with contextlib.suppress(SystemExit):
        main(argv)
    assert gc.isenabled()


def test_the_garbage_collector_is_on_in_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from pochitrain.run import train

    seen: list[bool] = []
    monkeypatch.setattr(train, "train", lambda cfg, warnings: seen.append(gc.isenabled()))
    main(["train", "epochs=1"])
    assert seen == [True]
