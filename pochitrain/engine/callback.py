"""Events of a run, in order:

    on_fit_start
    for each epoch:
        on_epoch_start
        for each batch of the training epoch:
            on_gradients        gradients are complete and unscaled, not yet clipped or applied
            on_batch_end        (on_gradients comes once per optimizer step, on_batch_end per batch)
        on_validation_start     where there is validation
        on_epoch_end            state.history[-1] is this epoch; the checkpoint is written after it
    on_fit_end

Callbacks hear of an event in the order of `run/callback.py`: averaged weights, those of the person,
then the ones that write files and decide (tables, early stopping, the report to a search).

Whether an epoch is the best (`state.is_best`, `state.best`) is decided, and the scheduler stepped,
as soon as the monitored number is there: before on_epoch_end if it is a metric, else at
on_epoch_end right after the callback that adds it to `extra`.

A callback reads the state and may only set `state.stop_reason`, add numbers to the `extra` of the
epoch's record, and at on_epoch_start freeze parts of the model. What it keeps from one event to a
later one belongs in its `state_dict`, so that a resumed run is the same run.

On resume, the state of the run and of the callbacks is loaded before on_fit_start, which must not
reset it. In the middle of an epoch on_epoch_start comes again, with `state.batch` > 0: prepare the
model again, but keep what the first batches added up. A run that was stopped in validation begins
the validation again, so on_validation_start comes again too.
"""

from typing import Any

from pochitrain.engine.state import TrainState


class Callback:
    """Does nothing at every event; override what you need."""

    def on_fit_start(self, state: TrainState) -> None: ...

    def on_epoch_start(self, state: TrainState) -> None: ...

    def on_gradients(self, state: TrainState) -> None: ...

    def on_batch_end(self, state: TrainState) -> None: ...

    def on_validation_start(self, state: TrainState) -> None: ...

    def on_epoch_end(self, state: TrainState) -> None: ...

    def on_fit_end(self, state: TrainState) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """State to save: tensors, numbers, text, lists and dicts."""
        return {}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
