"""A run that was killed anywhere and resumed is, bit for bit, the run that was not killed."""

from pathlib import Path

import pytest
from fault_program import Program, run_differences

PLACES = [
    "batch:0:2",  # before the first checkpoint
    "batch:1:1",
    "batch:1:5",  # after a checkpoint in mid-epoch
    "validation:1:6",
    "epoch_end:1:0",
    "epoch_end:2:0",  # the CSV is ahead of the checkpoint
    "write:0:",
    "write:3:",
    "fit_end:3:0",  # all epochs are done, the graphs are not
]
TARGETS = "allow_targets=[fault_part.*]"
VARIANTS = {
    "plain": ["checkpoint.every_steps=2"],
    "insight": [
        "checkpoint.every_steps=2",
        "ema_decay=0.9",
        "warmup_epochs=2",
        "early_stopping.enabled=true",
        "early_stopping.patience=5",
        "gradient_tracking.enabled=true",
        "layer_wise_lr.enabled=true",
        "+layer_wise_lr.layer_rates={conv1: 0.001, fc: 0.01}",
        "scheduler=multisteplr",
        "scheduler.milestones=[1,2]",
        "model.freeze=1",
        "loss.label_smoothing=0.1",
        "monitor=val_macro_f1",
        "metrics.names=[val_mcc,val_top2_accuracy]",
    ],
    "accumulation": ["checkpoint.every_steps=1", "gradient_accumulation=4"],
    "workers": ["checkpoint.every_steps=2", "data.num_workers=2", "gradient_clip_norm=0.1"],
    "mixed": [
        "+transform.batch._target_=torchvision.transforms.v2.MixUp",
        "+callbacks.counter._target_=fault_part.Counter",
        "monitor=mean_loss",
        "monitor_direction=minimize",
        "data.balanced_sampling=true",
        "optimizer=adamw",
        "optimizer.amsgrad=true",
        "precision=fp16",
        "scheduler=exponentiallr",
        "checkpoint.every_epochs=3",
        "checkpoint.keep_last=1",
    ],
    "unvalidated": [
        "data.val_root=null",
        "checkpoint.every_minutes=0.001",
        "ema_decay=0.9",
        "gradient_tracking.enabled=true",
        "gradient_tracking.record_frequency=2",
        "metrics.tensorboard=true",
        "scheduler=linearlr",
    ],
    "foreground": ["checkpoint.in_background=false", "optimizer=sgd", "precision=bf16"],
}


def kill_and_resume(program: Program, place: str, variant: list[str], whole: Path) -> list[str]:
    name = f"{whole.parent.name}-{place.replace(':', '-')}"
    command = program.tiny(name, "resume=auto", *variant)
    killed = program.run(*command, SIGNAL_AT=f"SIGKILL:{place}")
    assert killed.code == -9, killed.text
    # Both ways to go on; by name the config comes from the run.
    again = command if place.startswith("batch") else [f"resume={program.only_run(name)}", TARGETS]
    resumed = program.run(*again)
    assert resumed.code == 0, resumed.text
    assert "Resuming" in resumed.text
    return run_differences(whole, program.only_run(name))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_run(program: Program, variant: str) -> None:
    options = VARIANTS[variant]
    ended = program.run(*program.tiny(f"whole-{variant}", *options))
    assert ended.code == 0, ended.text
    whole = program.only_run(f"whole-{variant}")
    places = PLACES if variant == "plain" else PLACES[2::3]
    if "data.val_root=null" in options:
        places = [place.replace("validation:1:6", "epoch_end:2:0") for place in places]
    found = {place: kill_and_resume(program, place, options, whole) for place in places}
    assert found == {place: [] for place in places}
