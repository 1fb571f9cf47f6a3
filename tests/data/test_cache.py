"""Decoded images are kept, and no result shows whether they are."""

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from pochitrain.config.data import FolderConfig
from pochitrain.config.validators import check_fields
from pochitrain.data import cache as cache_module
from pochitrain.data import folder as folder_module
from pochitrain.data.cache import open_cache
from pochitrain.data.dataset import Subset
from pochitrain.data.folder import ImageFolderDataset, open_folder
from pochitrain.data.loader import Batch, EpochLoader, build_loader
from pochitrain.error import ConfigError, DataError
from pochitrain.paths import cache_directory

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs file locks of POSIX")

TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
PIPELINES = {
    "fixed": [v1.Resize(12), v2.CenterCrop((10, 9)), v1.ToTensor()],
    "late crop": [v2.Compose([v2.Resize(14), v2.Pad(2)]), v2.RandomCrop(8), *TENSOR],
    "early crop": [v2.RandomResizedCrop(8), v2.RandomHorizontalFlip(), *TENSOR],
    "as they are": [v2.ColorJitter(0.5), *TENSOR],
}


@pytest.fixture
def root(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    return make_folder(tmp_path / "r", {"a": 7, "b": 6}, side_px=17)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that this process decodes."""
    names: list[str] = []
    real = folder_module.decode_rgb

    def decode(path: str, *more: Any) -> Image.Image:
        names.append(Path(path).name)
        return real(path, *more)

    monkeypatch.setattr(folder_module, "decode_rgb", decode)
    return names


def loader(root: Path, pipeline: str = "fixed", **options: Any) -> EpochLoader:
    dataset = options.pop("dataset", None) or open_folder(train_root=str(root)).train
    settings = {"batch_size": 4, "seed": 0, "device": torch.device("cpu"), "shuffle": True}
    settings |= {"num_workers": 0, "cache": "on", **options}
    return build_loader(dataset, v2.Compose(PIPELINES[pipeline]), **settings)


def epochs(source: EpochLoader, count: int = 2) -> list[Batch]:
    try:
        return [batch for epoch in range(count) for batch in source.epoch(epoch)]
    finally:
        source.close()


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("pipeline", list(PIPELINES))
def test_batches_are_the_same_with_and_without(
    root: Path, decoded: list[str], pipeline: str
) -> None:
    expected = epochs(loader(root, pipeline, cache="off"))
    assert len(decoded) == 26
    del decoded[:]
    assert_same(epochs(loader(root, pipeline)), expected)
    assert len(decoded) == 13  # in the first epoch
    assert_same(epochs(loader(root, pipeline, cache="auto")), expected)
    assert len(decoded) == 13


@pytest.mark.slow
def test_processes_share_it(root: Path, decoded: list[str]) -> None:
    expected = epochs(loader(root, cache="off"))
    assert_same(epochs(loader(root, num_workers=2)), expected)
    del decoded[:]
    assert_same(epochs(loader(root)), expected)
    assert decoded == []


def test_a_split_uses_the_slots_of_its_set(root: Path, decoded: list[str]) -> None:
    whole = open_folder(train_root=str(root)).train
    epochs(loader(root, dataset=Subset(whole, [1, 3, 12])), 1)
    assert sorted(decoded) == ["001.png", "003.png", "005.png"]
    again = loader(root, dataset=Subset(whole, [1, 2]))
    assert "(1 of 2 pictures there)" in again.cache_note
    source = loader(root)
    assert "(3 of 13 pictures there)" in source.cache_note
    epochs(source, 1)
    assert len(decoded) == 13


def test_changed_files_and_other_transforms_are_decoded_again(
    root: Path, decoded: list[str]
) -> None:
    epochs(loader(root), 1)
    Image.new("RGB", (20, 20), (1, 2, 3)).save(root / "a" / "004.png")
    os.utime(root / "a" / "004.png", ns=(5, 5))
    del decoded[:]
    changed = epochs(loader(root), 1)
    assert decoded == ["004.png"]
    assert_same(changed, epochs(loader(root, cache="off"), 1))
    del decoded[:]
    epochs(loader(root, "late crop"), 1)
    assert len(decoded) == 13
    (root / "b" / "005.png").unlink()  # another set
    epochs(loader(root), 1)
    assert len(decoded) == 25


def test_a_file_that_vanishes_is_an_error_although_its_pixels_are_there(root: Path) -> None:
    source = loader(root)
    epochs(source)
    (root / "b" / "001.png").unlink()
    with pytest.raises(DataError, match="the file is gone"):
        epochs(source)


def fill_and_die(root: Path, after: int) -> None:
    real = os.write

    def write(handle: int, data: bytes) -> int:
        nonlocal after
        after -= 1
        if after < 0:  # half of the pixels are written
            real(handle, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(handle, data)

    os.write = write  # type: ignore[assignment]
    epochs(loader(root))


@pytest.mark.parametrize("after", [0, 5, 12])
def test_killed_while_it_is_written(root: Path, decoded: list[str], after: int) -> None:
    expected = epochs(loader(root, cache="off"))
    process = multiprocessing.get_context("fork").Process(target=fill_and_die, args=(root, after))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    del decoded[:]
    assert_same(epochs(loader(root)), expected)
    assert len(decoded) == 13 - after


@pytest.mark.slow
def test_two_runs_start_at_once(root: Path, decoded: list[str]) -> None:
    expected = epochs(loader(root, cache="off"))
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=lambda: epochs(loader(root))) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    del decoded[:]
    assert_same(epochs(loader(root)), expected)
    assert decoded == []


def files() -> Iterator[Path]:
    return cache_directory().glob("decoded-*")


@pytest.mark.parametrize("suffix", [".table", ".pixels"])
@pytest.mark.parametrize("damage", [b"", b"\0" * 5000])
def test_damaged_files_are_not_believed(
    root: Path, decoded: list[str], suffix: str, damage: bytes
) -> None:
    """As after a power cut, when what was written last is zero or not there."""
    expected = epochs(loader(root))
    (path,) = (path for path in files() if path.suffix == suffix)
    path.write_bytes(damage)
    del decoded[:]
    assert_same(epochs(loader(root)), expected)
    assert len(decoded) >= 13


def test_no_more_than_the_limit(root: Path, decoded: list[str]) -> None:
    """13 images of 10 x 9 x 3 bytes are 3,510; a set of another size is planned too small."""
    with pytest.raises(
        ConfigError,
        match=r"^data\.cache=on needs room .*: 0\.00 MB do not fit \(data\.cache_gb=3e-06",
    ):
        loader(root, cache_gb=3e-6)
    source = loader(root, cache="auto", cache_gb=3e-6)
    assert source.cache_note.startswith("nothing is kept: ")
    assert list(cache_directory().glob("decoded-*.*s")) == []
    source = loader(root)
    source.loader.dataset.preparation.cache.store.limit = 1000  # type: ignore[attr-defined]
    assert_same(epochs(source), epochs(loader(root, cache="off")))
    assert sum(path.stat().st_size for path in files() if path.suffix == ".pixels") == 3 * 270


def test_a_full_disk_is_no_error(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = epochs(loader(root, cache="off"))

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    source = loader(root)
    monkeypatch.setattr(cache_module.os, "write", fail)
    assert_same(epochs(source), expected)


def test_the_cache_that_was_not_used_for_longest_goes_first() -> None:
    kept = open_cache("one", 1, 400, 1000)
    for name, age in (("two", 100), ("three", 200)):
        assert open_cache(name, 1, 300, 1000) is not None
        os.utime(cache_directory() / f"decoded-{name}.table", (age, age))
    assert kept is not None
    os.utime(kept.table_path, (1, 1))  # the oldest, but in use
    assert open_cache("four", 1, 300, 1000) is not None
    assert {path.stem for path in files()} - {"decoded"} == {
        "decoded-one", "decoded-three", "decoded-four"
    }  # fmt: skip
    assert open_cache("five", 1, 700, 1000) is None


def test_reduced_before_a_random_crop_whether_kept_or_not(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for i in range(5):
        (tmp_path / "r" / "a").mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (60, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "r" / "a" / f"{i}.png")
    source = loader(tmp_path / "r", "early crop", cache_px=20)
    assert_same(
        epochs(source), epochs(loader(tmp_path / "r", "early crop", cache="off", cache_px=20))
    )
    (path,) = (path for path in files() if path.suffix == ".pixels")
    assert path.stat().st_size == 5 * 20 * 30 * 3
    note = loader(tmp_path / "r", cache_px=20).cache_note
    assert note.startswith("data.cache_px has no effect, because transform.train does not begin")
    # The smallest crop has 0.08 of the area and a shape of 3 : 4; in a picture of 4 : 3 with a
    # shorter side of 29 px it is 29 * sqrt(0.08 * 4 / 3 * 3 / 4) = 8.2 px wide, of 28 px 7.9.
    note = loader(tmp_path / "r", "early crop", cache="auto", cache_gb=1e-6).cache_note
    assert "data.cache_px=29 would take" in note


def test_memory_needs_no_cache(root: Path) -> None:
    from pochitrain.data.digits import open_digits

    digits = open_digits(image_size=8, val_fraction=0.1, seed=0).val
    assert loader(root, dataset=digits, cache="auto").cache_note == ""
    assert "no files" in loader(root, dataset=digits).cache_note


def test_goes_to_a_process_that_is_not_forked(root: Path, decoded: list[str]) -> None:
    source = loader(root)
    epochs(source)
    del decoded[:]
    copy: Any = pickle.loads(pickle.dumps(source.loader.dataset))
    assert torch.equal(copy[0, 3][0], source.loader.dataset[0, 3][0])
    assert decoded == []
    assert isinstance(copy.dataset, ImageFolderDataset)


@pytest.mark.parametrize("value", ["maybe", 3])
def test_other_words_are_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^data\.cache must be one of auto, on, off, got "):
        check_fields(FolderConfig, {"cache": value}, "data.")


@pytest.mark.parametrize(("value", "kept"), [("True", True), ("False", False)])
def test_on_and_off_as_yaml_reads_them(root: Path, value: str, kept: bool) -> None:
    check_fields(FolderConfig, {"cache": value}, "data.")
    assert ("0 of 13" in loader(root, cache=value).cache_note) == kept
