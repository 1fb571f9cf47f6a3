"""Restores a trainer from a checkpoint of its run."""

from pochitrain.data.dataset import DataSplits, fingerprint
from pochitrain.engine.checkpoint import finish_best, link, restore_callback_states
from pochitrain.engine.trainer import Trainer
from pochitrain.error import ConfigError
from pochitrain.run.resume.find import ResumedRun


def restore(resumed: ResumedRun, trainer: Trainer, data: DataSplits) -> None:
    """Restore the state of the run and of its callbacks.

    Raises:
        ConfigError: if the images are not those of the run.
    """
    models = resumed.folder / "models"
    saved, is_first = resumed.checkpoint, trainer.group.is_first
    if is_first:
        for leftover in models.glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)
    if saved is None:
        if is_first:
            finish_best(models, None)
        return
    if saved["data"] != fingerprint(data):
        raise ConfigError(
            f"data must hold the pictures that the run began with, got others (now "
            f"{len(data.train):,} for training). Restore the dataset, or start a new "
            "run without resume=."
        )
    state = trainer.state
    restore_callback_states(trainer.callbacks, saved["callbacks"])
    state.load_state_dict(saved, trainer.group.rank)
    trainer.checkpoints.written_step = state.step
    if not is_first:
        return
    assert resumed.source is not None
    best_epoch = None if state.best is None else state.best.epoch
    is_best = best_epoch == state.epoch and state.batch == 0
    finish_best(models, best_epoch, resumed.source if is_best else None)
    if resumed.source != models / "last.pth":
        # Replace the damaged one, or the next checkpoint would keep that instead of this one.
        link(resumed.source, models / "last.pth")
