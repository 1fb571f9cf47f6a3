"""The loop against torch written out by hand, on a model small enough to follow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from pochitrain.data.loader import EpochLoader, build_loader
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import select_precision
from pochitrain.engine.evaluate import evaluate
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.error import ConfigError, DataError
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import METRICS, matthews_correlation, top_k_accuracy

CPU = torch.device("cpu")
TO_TENSOR = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


@dataclass
class Noise:
    """Two classes of 4 x 4 px noise, one brighter."""

    count: int
    in_memory: bool = True
    labels: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.labels = [i % 2 for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Image.Image:
        generator = torch.Generator().manual_seed(index)
        low = 100 * self.labels[index]
        pixels = torch.randint(low, low + 150, (4, 4, 3), generator=generator, dtype=torch.uint8)
        return Image.fromarray(pixels.numpy())

    def size(self, index: int) -> tuple[int, int]:
        return (4, 4)

    def name(self, index: int) -> str:
        return f"noise {index}"


def noise_loader(count: int, batch_size: int, *, shuffle: bool = True) -> EpochLoader:
    return build_loader(
        Noise(count), TO_TENSOR, batch_size=batch_size, seed=0, device=CPU, shuffle=shuffle
    )


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 2))


def make_trainer(
    folder: Path,
    model: nn.Module,
    *,
    count: int = 24,
    batch_size: int = 8,
    epochs: int = 2,
    lr: float = 0.1,
    criterion: nn.Module | None = None,
    callbacks: tuple[Callback, ...] = (),
    gamma: float = 1.0,
    precision: str = "fp32",
    **options: object,
) -> Trainer:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma)
    chosen = select_precision(precision, CPU)
    state = TrainState(
        model,
        optimizer,
        scheduler,
        chosen.scaler,
        Monitor("val_accuracy"),
        epochs,
        RunningMetrics(CPU),
    )
    return Trainer(
        state,
        noise_loader(count, batch_size),
        noise_loader(10, 4, shuffle=False),
        criterion or CrossEntropy(),
        chosen,
        callbacks,
        CheckpointWriter(folder, {}),
        **options,  # type: ignore[arg-type]
    )


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("criterion", [CrossEntropy(), CrossEntropy(torch.tensor([0.5, 3.0]), 0.1)])
def test_is_the_loop_written_by_hand(tmp_path: Path, criterion: CrossEntropy) -> None:
    model = small_model()
    trainer = make_trainer(tmp_path, model, count=20, gamma=0.5, criterion=criterion)
    trainer.fit()

    other = small_model()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    loss_function = nn.CrossEntropyLoss(criterion.weight, label_smoothing=criterion.label_smoothing)
    for epoch in range(2):
        for images, labels, _ in noise_loader(20, 8).epoch(epoch):
            optimizer.zero_grad()
            torch.autograd.backward(loss_function(other(images), labels))
            optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5
    torch.testing.assert_close(weights(model), weights(other))
    assert [record.learning_rate for record in trainer.state.history] == [0.1, 0.05]
    assert trainer.state.step == 6


@pytest.mark.parametrize("count", [32, 20])  # 20: groups of 8 + 8 and a last one of 4
@pytest.mark.parametrize("criterion", [CrossEntropy(), CrossEntropy(torch.tensor([0.2, 5.0]), 0.1)])
def test_accumulated_batches_are_the_big_batch(
    tmp_path: Path, count: int, criterion: CrossEntropy
) -> None:
    small, big = small_model(), small_model()
    shared: dict[str, Any] = {"count": count, "criterion": criterion}
    make_trainer(tmp_path / "a", small, batch_size=4, gradient_accumulation=2, **shared).fit()
    make_trainer(tmp_path / "b", big, batch_size=8, **shared).fit()
    torch.testing.assert_close(weights(small), weights(big))


def test_callbacks_see_unscaled_gradients(tmp_path: Path) -> None:
    """They and the clipping come after the scale of fp16 (65,536 at first) was undone."""

    class Norms(Callback):
        def on_gradients(self, state: TrainState) -> None:
            gradients = [parameter.grad for parameter in state.model.parameters()]
            seen.append(float(nn.utils.get_total_norm([g for g in gradients if g is not None])))

    seen: list[float] = []
    for folder, precision in (("a", "fp32"), ("b", "fp16")):
        options: dict[str, Any] = {"epochs": 1, "count": 8, "callbacks": (Norms(),)}
        make_trainer(tmp_path / folder, small_model(), precision=precision, **options).fit()
    assert seen[1] == pytest.approx(seen[0], rel=0.05)


def test_mixed_labels_count_as_their_larger_part(tmp_path: Path) -> None:
    hard = make_trainer(tmp_path / "hard", small_model(), epochs=1, lr=1e-9)
    soft = make_trainer(tmp_path / "soft", small_model(), epochs=1, lr=1e-9)
    soft.train_loader.batch_transform = lambda images, labels: (
        images,
        nn.functional.one_hot(labels, 2) * 0.4 + 0.3,
    )
    accuracy = soft.fit().history[0].train_accuracy
    assert accuracy == hard.fit().history[0].train_accuracy
    assert 0 < accuracy < 100


def test_gradients_are_clipped_to_their_common_norm(tmp_path: Path) -> None:
    class Norms(Callback):
        def __init__(self) -> None:
            self.before: list[float] = []

        def on_gradients(self, state: TrainState) -> None:
            grads = [p.grad.flatten() for p in state.model.parameters() if p.grad is not None]
            self.before.append(torch.cat(grads).norm().item())

    norms = Norms()
    model = small_model()
    trainer = make_trainer(
        tmp_path, model, count=8, epochs=1, callbacks=(norms,), gradient_clip_norm=0.01
    )
    start = weights(model).clone()
    trainer.fit()
    assert norms.before[0] > 0.1, "callbacks see gradients that are not clipped yet"
    moved = (weights(model) - start).norm().item()
    assert moved == pytest.approx(0.1 * 0.01, rel=1e-3)  # lr times the clipped norm, in one step


def test_metrics_weigh_samples_not_batches(tmp_path: Path) -> None:
    """18 samples in batches of 8, 8 and 2, with a model that does not change."""
    model = small_model()
    trainer = make_trainer(tmp_path, model, count=18, epochs=1, lr=1e-30)
    record = trainer.fit().history[0]
    with torch.inference_mode():
        images = torch.stack([TO_TENSOR(Noise(18).load(i)) for i in range(18)])
        labels = torch.tensor(Noise(18).labels)
        logits = model(images)
    loss = nn.functional.cross_entropy(logits, labels).item()
    accuracy = 100 * (logits.argmax(1) == labels).double().mean().item()
    assert record.train_loss == pytest.approx(loss, rel=1e-6)
    assert record.train_accuracy == pytest.approx(accuracy)


@pytest.mark.parametrize(
    "criterion", [CrossEntropy(torch.tensor([1.0, 5.0])), nn.CrossEntropyLoss()]
)
def test_evaluate_does_not_depend_on_the_batch_size(criterion: nn.Module) -> None:
    model = small_model()
    precision = select_precision("fp32", CPU)
    ragged = evaluate(model, noise_loader(10, 4, shuffle=False).epoch(0), criterion, precision)
    whole = evaluate(model, noise_loader(10, 10, shuffle=False).epoch(0), criterion, precision)
    assert ragged.loss == pytest.approx(whole.loss, rel=1e-6)
    assert ragged.accuracy == whole.accuracy
    assert (ragged.confusion == whole.confusion).all()
    assert ragged.confusion.sum(axis=1).tolist() == [5, 5], "rows are true classes"
    assert ragged.accuracy == 100 * ragged.confusion.diagonal().sum().item() / 10
    assert not model.training
    with torch.inference_mode():
        logits = model(torch.stack([TO_TENSOR(Noise(10).load(i)) for i in range(10)]))
    weight = getattr(criterion, "weight", None)
    loss = nn.functional.cross_entropy(logits, torch.tensor(Noise(10).labels), weight).item()
    assert ragged.loss == pytest.approx(loss, rel=1e-6)


def test_the_learning_rate_stays_the_configured_one_where_layers_have_their_own(
    tmp_path: Path,
) -> None:
    trainer = make_trainer(tmp_path, small_model())
    state = trainer.state
    groups = [
        {"params": list(state.model[1].parameters()), "lr": 0.01, "name": "first"},  # type: ignore[index]
        {"params": list(state.model[3].parameters()), "lr": 0.2, "name": "last"},  # type: ignore[index]
    ]
    state.optimizer = torch.optim.SGD(groups, lr=0.1)
    state.scheduler = torch.optim.lr_scheduler.ExponentialLR(state.optimizer, 0.5)
    history = trainer.fit().history
    assert [record.learning_rate for record in history] == [0.1, 0.1]
    assert [record.layer_rates for record in history] == [
        {"first": 0.01, "last": 0.2},
        {"first": 0.005, "last": 0.1},
    ]


def test_best_keeps_the_earlier_of_equal_epochs_and_ignores_nan(
    tmp_path: Path, make_record: Callable
) -> None:
    state = make_trainer(tmp_path, small_model()).state
    for accuracy, best in ((50.0, True), (50.0, False), (float("nan"), False), (51.0, True)):
        state.record(make_record(accuracy))
        assert state.is_best is best
    assert state.best is not None
    assert (state.best.epoch, state.best.value) == (4, 51.0)
    assert Monitor("val_loss").improves(0.4, 0.5)
    assert not Monitor("val_loss").improves(0.5, 0.5)


@pytest.fixture
def make_record() -> Callable:
    from pochitrain.engine.state import EpochRecord

    numbers = iter(range(1, 100))
    return lambda accuracy: EpochRecord(next(numbers), 0.1, 1.0, 50.0, 1.0, accuracy)


def test_events_come_in_the_written_order(tmp_path: Path) -> None:
    class Log(Callback):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def __getattribute__(self, name: str) -> object:
            if name.startswith("on_"):
                return lambda state: self.seen.append(name.removeprefix("on_"))
            return super().__getattribute__(name)

    log = Log()
    make_trainer(tmp_path, small_model(), epochs=1, callbacks=(log,), gradient_accumulation=2).fit()
    assert log.seen == [
        "fit_start",
        "epoch_start",
        "batch_end",
        "gradients",
        "batch_end",
        "gradients",  # the last group of the epoch is applied although it is not full
        "batch_end",
        "validation_start",
        "epoch_end",
        "fit_end",
    ]


class Distance(Callback):
    """Adds a number to each epoch that has one."""

    def __init__(self, *values: float | None) -> None:
        self.values = values

    def on_epoch_end(self, state: TrainState) -> None:
        value = self.values[state.epoch - 1]
        if value is not None:
            state.history[-1].extra["distance"] = value


def test_a_number_of_a_callback_decides_and_steps_the_scheduler(tmp_path: Path) -> None:
    class Seen(Callback):
        def __init__(self) -> None:
            self.best: list[bool] = []

        def on_epoch_end(self, state: TrainState) -> None:
            self.best.append(state.is_best)

    before, after = Seen(), Seen()
    callbacks = (before, Distance(3.0, 1.0, None, 2.0), after)
    trainer = make_trainer(tmp_path, small_model(), epochs=4, callbacks=callbacks)
    state = trainer.state
    state.monitor = Monitor("distance", Metric("distance", higher_is_better=False))
    state.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(state.optimizer, "min", 0.5, 0)  # type: ignore[assignment]
    trainer.fit()
    assert before.best == [False] * 4, "not decided yet"
    assert after.best == [True, True, False, False]
    assert state.best is not None and (state.best.epoch, state.best.value) == (2, 1.0)
    # 3, 1: better each time; NaN and 2 are not
    assert [record.learning_rate for record in state.history] == [0.1, 0.1, 0.1, 0.05]
    assert state.optimizer.param_groups[0]["lr"] == 0.025
    assert torch.load(tmp_path / "best.pth", weights_only=True)["epoch"] == 2


def test_a_number_that_nothing_adds_is_one_error(tmp_path: Path) -> None:
    callbacks = (Distance(None, 1.0),)
    trainer = make_trainer(tmp_path, small_model(), epochs=2, callbacks=callbacks)
    trainer.state.monitor = Monitor("distance", Metric("distance", higher_is_better=False))
    with pytest.raises(
        ConfigError, match=r"^monitor must be .*'distance', .* by the end of epoch 1"
    ):
        trainer.fit()


def test_further_metrics_are_recorded_and_saved(tmp_path: Path) -> None:
    """Of the same evaluation as the confusion matrix; an old checkpoint has none."""
    metrics = [METRICS["val_mcc"], top_k_accuracy(1)]
    trainer = make_trainer(tmp_path, small_model(), metrics=metrics)
    state = trainer.fit()
    record = state.history[-1]
    assert list(record.metrics) == ["val_mcc", "val_top1_accuracy"]
    assert state.confusion is not None
    assert record.metrics["val_mcc"] == matthews_correlation(state.confusion.numpy())
    assert record.metrics["val_top1_accuracy"] == record.val_accuracy
    saved = torch.load(tmp_path / "last.pth", weights_only=True)
    assert [entry["metrics"] for entry in saved["history"]] == [r.metrics for r in state.history]
    for entry in saved["history"]:
        del entry["metrics"]
    state.load_state_dict(saved)
    assert [entry.metrics for entry in state.history] == [{}, {}]


def test_a_callback_can_end_the_run(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_epoch_end(self, state: TrainState) -> None:
            state.stop_reason = "enough"

    trainer = make_trainer(tmp_path, small_model(), epochs=9, callbacks=(Stop(),))
    assert trainer.fit().epoch == 1
    assert torch.load(tmp_path / "last.pth", weights_only=True)["stop_reason"] == "enough"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("DataLoader worker (pid 5) is killed", DataError), ("of another kind", RuntimeError)],
)
def test_an_error_keeps_its_cause(tmp_path: Path, text: str, kind: type[Exception]) -> None:
    """torch raises a RuntimeError wherever the main process is when a loader process dies."""
    first = ValueError("what happened at first")

    class Fails(Callback):
        def on_batch_end(self, state: TrainState) -> None:
            raise RuntimeError(text) from first

    trainer = make_trainer(tmp_path, small_model(), callbacks=(Fails(),))
    with pytest.raises(kind) as caught:
        trainer.fit()
    error: BaseException | None = caught.value
    if kind is DataError:
        error = caught.value.__cause__
    assert error is not None and str(error) == text
    assert error.__cause__ is first


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains_float32_weights(tmp_path: Path, precision: str) -> None:
    model = small_model()
    seen: list[torch.dtype] = []
    model[1].register_forward_hook(lambda *args: seen.append(args[-1].dtype))  # type: ignore[operator]
    exact = small_model()
    trainer = make_trainer(tmp_path / "a", model, precision=precision)
    trainer.fit()
    make_trainer(tmp_path / "b", exact).fit()
    assert set(seen) == {{"bf16": torch.bfloat16, "fp16": torch.float16}[precision]}
    assert trainer.state.scaler.is_enabled() is (precision == "fp16")
    assert weights(model).dtype == torch.float32
    torch.testing.assert_close(weights(model), weights(exact), atol=0.02, rtol=0.1)
    if precision == "fp16":  # the scale was undone before the step, and is remembered
        assert trainer.state.state_dict()["scaler"]["scale"] >= 1
