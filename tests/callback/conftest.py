"""A small run's state, for callbacks that only read it."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import ToTensor

from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.data.digits import open_digits
from pochitrain.data.loader import EpochLoader, build_loader
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision
from pochitrain.engine.state import EpochRecord, Monitor, RunningMetrics, TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.transform.pipeline import build_pipeline


@pytest.fixture
def make_state() -> Callable[..., TrainState]:
    def make(model: nn.Module | None = None, epochs: int = 100) -> TrainState:
        model = nn.Linear(2, 2) if model is None else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        sums = RunningMetrics(torch.device("cpu"))
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


@cache
def small_digits() -> DataSplits:
    return open_digits(image_size=8, val_fraction=0.5, seed=0)


class SmallNet(nn.Module):
    """Three blocks, with batch norm, for digits of 8 x 8 px."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.fc = nn.Linear(6 * 16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer1(x).flatten(1))


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    def make(seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return SmallNet()

    return make


@pytest.fixture
def make_loader() -> Callable[..., EpochLoader]:
    """Digits of 8 x 8 px; by default the first 50 of the training split, in batches of 16."""

    def make(split: str = "train", num: int = 50, shuffle: bool = True, **options) -> EpochLoader:
        dataset = Subset(getattr(small_digits(), split), list(range(num)))
        settings = {"batch_size": 16, "seed": 0, "device": torch.device("cpu"), **options}
        return build_loader(dataset, build_pipeline([ToTensor()]), shuffle=shuffle, **settings)

    return make


@pytest.fixture
def make_trainer(tmp_path, make_loader) -> Callable[..., Trainer]:
    def make(model: nn.Module, callbacks=(), epochs: int = 2, **options) -> Trainer:
        device = torch.device("cpu")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
        precision = Precision(device, None, torch.amp.GradScaler("cpu", enabled=False))
        state = TrainState(
            model,
            optimizer,
            scheduler,
            precision.scaler,
            Monitor("val_accuracy"),
            epochs,
            RunningMetrics(device),
        )
        train_loader = options.pop("train_loader", None) or make_loader()
        val_loader = options.pop("val_loader", None) or make_loader("val", shuffle=False)
        writer = options.pop("writer", CheckpointWriter(tmp_path / "models", {}))
        criterion = options.pop("criterion", CrossEntropy())
        return Trainer(
            state, train_loader, val_loader, criterion, precision, callbacks, writer, **options
        )

    return make
