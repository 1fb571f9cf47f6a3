"""`data=shards`: images in uncompressed tar files, named as the library webdataset does.

That library reads tar files from their beginning and shuffles what is in a buffer. Here every image
is found by its position, so orders, splits, the cache and an exact resume are those of folders.
"""

import glob
import os
from collections.abc import Sequence

import numpy as np

from pochitrain.data.dataset import DataSplits
from pochitrain.data.divide import divide
from pochitrain.data.folder import ImageFolderDataset, drop_images
from pochitrain.data.index import EXTENSIONS, UNKNOWN, FolderIndex, PathList, file_stamp, load_index
from pochitrain.data.progress import WaitDisplay
from pochitrain.data.shard_index import NUM_SHOWN, Shard, open_shard
from pochitrain.data.split import SplitRule
from pochitrain.data.table import sort_classes
from pochitrain.data.verify import find_unreadable
from pochitrain.error import ConfigError
from pochitrain.text import shorten_list


def open_shards(
    *,
    train_shards: str,
    val_shards: str | None = None,
    label_key: str = "label",
    val_fraction: float | None = None,
    num_folds: int | None = None,
    fold: int | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    on_error: str = "error",
    background: tuple[int, int, int] = (255, 255, 255),
    verify: bool = True,
) -> DataSplits:
    """The images in tar files.

    A sample is the files of one key: `key.jpg` and its label in `key.cls`, `key.txt` or `key.json`.
    The classes are the different labels of the training shards, sorted as those of a table.

    Args:
        train_shards: pattern of paths as in a shell (`shards/train-*.tar`).
        val_shards: the same for validation; None = as the arguments from `val_fraction` on say.
        label_key: of the label in a JSON object.
        on_error: "error" names every unreadable image at once; "skip" trains without them.
        background: RGB, 0-255, behind transparent pixels.
        verify: check every image once before training, as `open_folder` does.

    Raises:
        ConfigError: no such shards, damaged ones, images without label, unknown classes.
    """
    red, green, blue = map(int, background)
    train_part = read_shards(train_shards, "data.train_shards", label_key)
    class_names = sort_classes({label for shard in train_part for label in shard.labels})
    position = {name: i for i, name in enumerate(class_names)}
    skipped: list[str] = []

    def images_of(shards: Sequence[Shard], key: str) -> ImageFolderDataset:
        labels = [label for shard in shards for label in shard.labels]
        unknown = sorted({*labels} - {*class_names})
        if unknown:
            raise ConfigError(
                f"{key} must only hold classes of data.train_shards, got "
                f"{shorten_list([repr(name) for name in unknown])}. "
                f"Classes: {shorten_list(class_names)}."
            )
        paths = PathList.of([path for shard in shards for path in shard.paths()])
        indices = np.array([position[label] for label in labels], np.int32)
        images = ImageFolderDataset(paths, indices, (red, green, blue))
        if not verify:
            return images
        bad = find_unreadable(index_of(shards, paths), all_pixels=on_error == "skip")
        images, more = drop_images(images, bad, class_names, on_error)
        skipped.extend(more)
        return images

    train = images_of(train_part, "data.train_shards")
    if val_shards is not None:
        val_part = read_shards(val_shards, "data.val_shards", label_key)
        refuse_shared(train_part, val_part)
        val = images_of(val_part, "data.val_shards")
        return DataSplits(train, val, class_names, skipped)
    rule = SplitRule(val_fraction, test_fraction, num_folds, fold, seed)
    data = divide(train, class_names, rule)
    data.skipped = skipped
    return data


def refuse_shared(train: Sequence[Shard], val: Sequence[Shard]) -> None:
    """Refuse shards that are in both.

    Raises:
        ConfigError: naming them.
    """
    seen = {os.path.realpath(shard.tar) for shard in train}
    shared = [repr(shard.tar) for shard in val if os.path.realpath(shard.tar) in seen]
    if shared:
        raise ConfigError(
            "data.val_shards must match other files than data.train_shards, got "
            f"{shorten_list(shared, NUM_SHOWN)} in both."
        )


def read_shards(pattern: str, key: str, label_key: str) -> list[Shard]:
    """What the tar files hold whose paths match, sorted by path.

    Raises:
        ConfigError: if there are none, or one cannot be used.
    """
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise ConfigError(
            f"{key} must be the path of tar files, or a pattern (shards/train-*.tar), got "
            f"{pattern!r}, which none matches. It is looked up from {os.getcwd()!r}."
        )
    wrong = [repr(path) for path in paths if not (path.endswith(".tar") and os.path.isfile(path))]
    if wrong:
        raise ConfigError(
            f"{key} must match uncompressed tar files (*.tar) only, got "
            f"{shorten_list(wrong, NUM_SHOWN)}. Images cannot be found by position in others."
        )
    with WaitDisplay("Listing shards", len(paths)) as display:
        shards = []
        for path in paths:
            shards.append(open_shard(path, key, label_key))
            display.advance()
    if not any(shard.labels for shard in shards):
        raise ConfigError(
            f"{key} must hold pictures ({' '.join(EXTENSIONS)}) with labels, got {pattern!r} "
            "without any."
        )
    return shards


def index_of(shards: Sequence[Shard], paths: PathList) -> FolderIndex:
    """The images, with what earlier runs found out about them (for `find_unreadable`)."""
    name = "\n".join(os.path.abspath(shard.tar) for shard in shards)
    stamps = [(len(shard.labels), file_stamp(shard.tar)[1]) for shard in shards]
    mtime_ns = np.repeat(
        np.array([mtime for _, mtime in stamps], np.int64), [count for count, _ in stamps]
    )
    sizes = np.concatenate([shard.sizes for shard in shards])
    known = np.full(len(paths), UNKNOWN, np.uint8)
    index = FolderIndex(name, [], np.zeros(0, np.int64), [], paths, sizes, mtime_ns, known)
    saved = load_index(name)
    if saved is not None:
        index.remember(saved)
    return index
