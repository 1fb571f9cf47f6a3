"""A small run's state, for callbacks that only read it."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pochitrain.engine.state import EpochRecord, Monitor, Sums, TrainState


@pytest.fixture
def make_state() -> Callable[..., TrainState]:
    def make(model: nn.Module | None = None, epochs: int = 100) -> TrainState:
        model = nn.Linear(2, 2) if model is None else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        sums = Sums(torch.device("cpu"))
        return TrainState(
            model, optimizer, scheduler, scaler, Monitor("val_accuracy"), epochs, sums
        )

    return make


@pytest.fixture
def add_epoch() -> Callable[..., None]:
    def add(
        state: TrainState, *, val_accuracy: float = 50.0, val_loss: float = 1.0, **fields: object
    ) -> None:
        state.epoch += 1
        state.record(
            EpochRecord(state.epoch, 0.1, 1.0, 50.0, val_loss, val_accuracy, **fields)  # type: ignore[arg-type]
        )

    return add
