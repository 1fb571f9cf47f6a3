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

Callbacks are called in the order of `run/callback.py`: freezing, averaged weights, the user's own,
then those that write files and decide (tables, early stopping, the report to a search).

As soon as the monitored value of an epoch is known, the epoch is compared with the best one
(`state.is_best`, `state.best`) and the scheduler is stepped: before on_epoch_end if it is a metric,
else at on_epoch_end, right after the callback that adds it to `extra`.

A callback reads the state. It may only set `state.stop_reason`, add numbers to the `extra` of the
epoch's record, and freeze parts of the model at on_epoch_start. What it keeps from one event to a
later one must be in its `state_dict`, so that a resumed run gives the same result.

On resume, the state of the run and of the callbacks is loaded before on_fit_start, which must not
reset it. If an epoch is resumed in the middle, on_epoch_start is called again with `state.batch` >
0: prepare the model again, but keep the sums over the first batches. A run that was stopped in
validation repeats the validation, including on_validation_start.
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
        """State to save in checkpoints: tensors, numbers, text, lists and dicts."""
        return {}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
