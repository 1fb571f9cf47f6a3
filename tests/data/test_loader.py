"""Batches: their order, their augmentation, and that neither depends on the number of processes."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from pochitrain.data.folder import open_folder
from pochitrain.data.loader import Batch, EpochLoader, build_loader
from pochitrain.data.sampler import EpochBatches
from pochitrain.data.worker import default_num_workers
from pochitrain.error import ConfigError, DataError, PochiError
from pochitrain.seed import derive_seed

CPU = torch.device("cpu")
TO_TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
AUGMENT = v2.Compose([v2.RandomResizedCrop(16), v2.RandomHorizontalFlip(), *TO_TENSOR])


def loader(root: Path, **options: object) -> EpochLoader:
    settings = {"batch_size": 4, "seed": 0, "device": CPU, "shuffle": True, "num_workers": 0}
    dataset = open_folder(train_root=str(root)).train
    return build_loader(dataset, AUGMENT, **{**settings, **options})  # type: ignore[arg-type]


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.slow
def test_two_processes_give_the_same_batches_as_none(tmp_path: Path, make_folder: Callable) -> None:
    root = make_folder(tmp_path / "r", {"a": 7, "b": 6})
    alone, both = loader(root), loader(root, num_workers=2)
    for epoch in range(2):
        assert_same(list(alone.epoch(epoch)), list(both.epoch(epoch)))


@pytest.mark.parametrize(
    ("device_type", "cores", "expected"),
    [
        ("cpu", 2, 1),
        ("cpu", 16, 8),
        ("cpu", 64, 8),
        ("cuda", 1, 1),
        ("cuda", 2, 1),
        ("cuda", 16, 15),
        ("cuda", 64, 16),
    ],
)
def test_number_of_loader_processes(
    monkeypatch: pytest.MonkeyPatch, device_type: str, cores: int, expected: int
) -> None:
    monkeypatch.setattr("pochitrain.data.worker.num_cores", lambda: cores)
    assert default_num_workers(device_type) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_busy_gpu_gets_the_batches_of_the_cpu(tmp_path: Path, make_folder: Callable) -> None:
    """They are copied beside the step before, and used while later ones arrive."""
    root = make_folder(tmp_path / "r", {"a": 60, "b": 60})
    expected = list(loader(root).epoch(0))
    busy = torch.randn(4096, 4096, device="cuda")
    sums, found = [], []
    for images, labels, indices in loader(root, device=torch.device("cuda")).epoch(0):
        busy = (busy @ busy).clamp(-1, 1)  # the step before is not done when the next arrives
        sums.append((images * 1.0 + 0 * busy[0, 0]).sum(dtype=torch.float64))
        found.append(Batch(images.cpu(), labels.cpu(), indices))
    assert_same(found, expected)
    wanted = [batch.images.sum(dtype=torch.float64) for batch in expected]
    torch.testing.assert_close(torch.stack(sums).cpu(), torch.stack(wanted))


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms cannot fork safely")
@pytest.mark.parametrize("method", ["spawn", "loky"])
def test_loader_processes_need_no_pickling_in_a_process_of_a_search(
    tmp_path: Path, make_folder: Callable, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    import joblib.externals.loky.backend.context  # noqa: F401  # makes "loky" known

    default = multiprocessing.context._default_context  # type: ignore[attr-defined]
    monkeypatch.setattr(default, "_actual_context", multiprocessing.get_context(method))
    dataset = open_folder(train_root=str(make_folder(tmp_path / "r", {"a": 3, "b": 2}))).train
    transform = v2.Compose([v2.Lambda(lambda image: image), AUGMENT])
    options = {"batch_size": 4, "seed": 0, "device": CPU, "shuffle": True}
    batches = list(build_loader(dataset, transform, num_workers=1, **options).epoch(0))  # type: ignore[arg-type]
    assert [len(batch.labels) for batch in batches] == [5]


def test_augmentation_depends_on_seed_epoch_and_picture_only(
    tmp_path: Path, make_folder: Callable
) -> None:
    root = make_folder(tmp_path / "r", {"a": 5, "b": 4})

    def by_picture(source: EpochLoader, epoch: int) -> dict[int, torch.Tensor]:
        return {
            int(i): image
            for batch in source.epoch(epoch)
            for i, image in zip(batch.indices, batch.images, strict=True)
        }

    first = by_picture(loader(root), 0)
    torch.rand(7)  # draws elsewhere change nothing
    again = by_picture(loader(root, batch_size=2, shuffle=False), 0)
    assert all(torch.equal(first[i], again[i]) for i in range(9))
    for other in (by_picture(loader(root), 1), by_picture(loader(root, seed=1), 0)):
        assert not any(torch.equal(first[i], other[i]) for i in range(9))


def test_an_epoch_can_start_in_the_middle(tmp_path: Path, make_folder: Callable) -> None:
    source = loader(make_folder(tmp_path / "r", {"a": 7, "b": 6}))
    assert_same(list(source.epoch(3, start_batch=2)), list(source.epoch(3))[2:])


def test_global_generator_is_left_alone(tmp_path: Path, make_folder: Callable) -> None:
    source = loader(make_folder(tmp_path / "r", {"a": 3, "b": 3}))
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    list(source.epoch(0))
    assert torch.equal(torch.rand(1), expected)


def test_pictures_of_different_size_are_refused(tmp_path: Path, make_folder: Callable) -> None:
    root = make_folder(tmp_path / "r", {"a": 2}, side_px=32)
    make_folder(tmp_path / "r", {"b": 2}, side_px=40)
    dataset = open_folder(train_root=str(root)).train
    source = build_loader(
        dataset, v2.Compose(TO_TENSOR), batch_size=4, seed=0, device=CPU, shuffle=False,
        num_workers=0,
    )  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"^transform must give pictures of one size, got \(3, 32"
    ):
        list(source.epoch(0))


def test_a_picture_that_vanishes_in_mid_run_is_named(tmp_path: Path, make_folder: Callable) -> None:
    root = make_folder(tmp_path / "r", {"a": 2, "b": 2})
    source = loader(root)
    (root / "b" / "001.png").unlink()
    with pytest.raises(PochiError, match=r"^Cannot read .*b/001\.png: the file is gone\.$"):
        list(source.epoch(0))
    (root / "a" / "000.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:  # all of the batch are named
        list(source.epoch(0))
    assert sorted(str(caught.value).splitlines()) == [
        f"Cannot read {root}/a/000.png: not a picture.",
        f"Cannot read {root}/b/001.png: the file is gone.",
    ]


def test_a_transform_that_does_not_fit_a_picture_names_both(
    tmp_path: Path, make_folder: Callable
) -> None:
    dataset = open_folder(train_root=str(make_folder(tmp_path / "r", {"a": 2, "b": 2}))).train
    source = build_loader(
        dataset, v2.Compose([v2.RandomCrop(64), *TO_TENSOR]), batch_size=4, seed=0, device=CPU,
        shuffle=True, num_workers=0,
    )  # fmt: skip
    says = (
        r"^transform\.train fails on .*\d\d\d\.png \(32 x 32 px\): ValueError: Required crop size"
    )
    with pytest.raises(DataError, match=says):
        list(source.epoch(0))
    with pytest.raises(ConfigError, match=says):  # before training
        source.sample(2)


@pytest.mark.parametrize("killed", [False, True])
def test_loader_processes_end_at_once(tmp_path: Path, make_folder: Callable, killed: bool) -> None:
    """Also one that has stopped, and those that wait for a lock of one that was killed."""
    source = loader(make_folder(tmp_path / "r", {"a": 7, "b": 6}), num_workers=2)
    batches = source.epoch(0)
    next(batches)
    pids = [worker.pid for worker in source.loader._iterator._workers]  # type: ignore[union-attr]
    os.kill(pids[0], signal.SIGSTOP)
    begin = time.monotonic()
    if killed:
        with pytest.raises(
            (DataError, RuntimeError), match=r"DataLoader worker|that loads pictures"
        ):
            os.kill(pids[1], signal.SIGKILL)
            time.sleep(5)
            list(batches)
    source.close()
    assert time.monotonic() - begin < 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(list(source.epoch(0))) == 3
    source.close()


def sizes(num_samples: int, batch_size: int, *, shuffle: bool = True) -> list[int]:
    labels = [i % 2 for i in range(num_samples)]
    batches = EpochBatches(labels, batch_size, seed=0, shuffle=shuffle)
    planned = [len(batch) for batch in batches]
    assert len(planned) == len(batches)
    return planned


def test_a_last_training_batch_of_one_joins_the_one_before() -> None:
    assert sizes(9, 4) == [4, 5]
    assert sizes(10, 4) == [4, 4, 2]
    assert sizes(8, 4) == [4, 4]
    assert sizes(9, 4, shuffle=False) == [4, 4, 1]  # validation is not normed by batch
    assert sizes(1, 4) == [1]
    assert sizes(3, 1) == [1, 1, 1]


def test_each_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    batches = EpochBatches([0] * 20, 6, seed=3, shuffle=True)
    orders = []
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        keys = [key for batch in batches for key in batch]
        assert {key[0] for key in keys} == {epoch}
        orders.append([key[1] for key in keys])
    assert sorted(orders[0]) == list(range(20))
    assert orders[0] == orders[2] != orders[1]


def test_balanced_sampling_draws_classes_equally_often() -> None:
    labels = [0] * 900 + [1] * 90 + [2] * 10
    batches = EpochBatches(labels, 50, seed=0, shuffle=True, balanced=True)
    drawn: Counter[int] = Counter()
    for epoch in range(5):
        batches.epoch = epoch
        drawn.update(labels[index] for batch in batches for _, index in batch)
    # 5,000 draws with probability 1/3: a standard deviation of 33, so 200 is six of them.
    assert all(abs(drawn[c] - 5000 / 3) < 200 for c in range(3))


class Draws:
    """A step of the person's own that uses every generator."""

    def __call__(self, image: Image.Image) -> torch.Tensor:
        numbers = [random.random(), np.random.rand(), torch.rand(1).item()]
        return torch.tensor(numbers).reshape(3, 1, 1).repeat(1, 2, 2)


@pytest.mark.parametrize(
    "steps", [[Draws()], [v2.RandomApply([v2.ColorJitter(0.9)]), v2.RandomRotation(9), *TO_TENSOR]]
)
def test_random_numbers_are_those_of_earlier_versions(
    tmp_path: Path, make_folder: Callable, steps: list[Any]
) -> None:
    """All three generators started from one seed for each image, or a resumed run would differ."""
    dataset = open_folder(train_root=str(make_folder(tmp_path / "r", {"a": 3}))).train
    transform = v2.Compose(steps)
    options = {"batch_size": 2, "shuffle": False, "num_workers": 0, "device": CPU}
    (batch, last) = build_loader(dataset, transform, seed=7, **options).epoch(5)  # type: ignore[arg-type]
    for index, image in enumerate([*batch.images, *last.images]):
        seed = derive_seed(7, "augment", 5, index)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        assert torch.equal(image, transform(dataset.load(index)))
