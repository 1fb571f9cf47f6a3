"""Runs of a strategy that were killed and resumed, bit for bit those that were not."""

from pathlib import Path

import pytest
from fault_program import Ended, Program, run_differences

PLACES = {
    "probe": [
        "features:1:",  # the first batch is kept
        "head:15:",  # in the cross-validation, of whose 24 steps 12 compare rates
        "batch:1:3",
        "epoch_end:2:0",
    ],
    "probe_finetune": [
        "features:1:",
        "head:75:",  # after the 60 steps of the cross-validation, in the fit of the last layer
        "batch:1:3",
    ],
    "finetune": ["batch:1:3", "epoch_end:1:0"],
}
"""Strategy -> where it is killed, as `fault_part.SignalAt` reads it."""
KEPT = "32 from the cache"
"""What a run prints that goes on with the features of its predecessor."""


def command(program: Program, name: str, strategy: str) -> list[str]:
    """3 epochs of 6 batches, on the smallest model of timm."""
    return [
        f"work_dir={name}",
        "resume=auto",
        f"strategy={strategy}",
        "model=timm",
        "model.name=test_efficientnet",
        "model.pretrained=false",
        "data=folder",
        f"data.train_root={program.dataset}/train",
        f"data.val_root={program.dataset}/val",
        "data.num_workers=0",
        "transform.size=32",
        "allow_targets=[fault_part.*]",
        "+callbacks.fault._target_=fault_part.SignalAt",
        "batch_size=8",
        "epochs=3",
        "device=cpu",
    ]


def run(program: Program, name: str, strategy: str, signal: str = "", cache: str = "") -> Ended:
    folder = str(program.folder / f"cache-{cache or name}")  # or features were there already
    env = {"SIGNAL_AT": signal, "XDG_CACHE_HOME": folder, "NO_GRAPHS": "1"}
    return program.run(*command(program, name, strategy), **env)


def kill_and_resume(program: Program, strategy: str, place: str, whole: Path) -> list[str]:
    name = f"{strategy}-{place.replace(':', '-')}"
    killed = run(program, name, strategy, f"SIGKILL:{place}")
    assert killed.code == -9, killed.text
    resumed = run(program, name, strategy)
    assert resumed.code == 0, resumed.text
    assert "Resuming" in resumed.text
    assert (KEPT in resumed.text) == place.startswith("features"), resumed.text
    return run_differences(whole, program.only_run(name))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", PLACES)
def test_killed_run(program: Program, strategy: str) -> None:
    ended = run(program, strategy, strategy)
    assert ended.code == 0, ended.text
    assert "transform.size 32, crop_pct 0.95, bicubic" in ended.text  # of timm
    whole = program.only_run(strategy)
    found = {place: kill_and_resume(program, strategy, place, whole) for place in PLACES[strategy]}
    assert found == {place: [] for place in PLACES[strategy]}

    again = run(program, f"{strategy}-again", strategy, cache=strategy)
    assert again.code == 0, again.text
    assert ("60 x " in again.text and "60 from the cache" in again.text) == (strategy == "probe")
    assert run_differences(whole, program.only_run(f"{strategy}-again")) == []
