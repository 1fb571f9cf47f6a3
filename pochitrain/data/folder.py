"""`data=folder`: root/<class>/**/image."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.data.decode import decode_rgb, upright_size
from pochitrain.data.split import stratified_split
from pochitrain.data.verify import find_unreadable
from pochitrain.error import ConfigError
from pochitrain.text import shorten_list

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass
class ImageFolderDataset:
    """Image files and their classes."""

    paths: list[str]
    labels: list[int]
    background: tuple[int, int, int] = (255, 255, 255)
    in_memory = False

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> Image.Image:
        return decode_rgb(self.paths[index], self.background)

    def size(self, index: int) -> tuple[int, int]:
        return upright_size(self.paths[index])

    def name(self, index: int) -> str:
        return self.paths[index]


def open_folder(
    *,
    train_root: str,
    val_root: str | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
    on_error: str = "error",
    background: tuple[int, int, int] = (255, 255, 255),
    verify: bool = True,
) -> DataSplits:
    """Index the images below `train_root` and, where given, `val_root`.

    Validation classes are mapped by name onto the training classes.

    Args:
        val_fraction: instead of `val_root`: part of each class that is kept for validation.
        seed: of that split.
        on_error: "error" names every unreadable image at once; "skip" trains without them.
        background: RGB, 0-255, behind transparent pixels.
        verify: decode every image once before training (remembered between runs).

    Raises:
        ConfigError: missing or empty folders, unknown classes, unreadable images.
    """
    rgb = (int(background[0]), int(background[1]), int(background[2]))
    class_names = list_classes(train_root, "data.train_root")
    train = index_images(train_root, class_names, "data.train_root", rgb)
    warnings = describe_loose(train_root, "data.train_root")
    val = None
    if val_root is not None:
        found = list_classes(val_root, "data.val_root")
        matched = match_classes(found, class_names)
        unknown = [name for name in found if matched[name] is None]
        if unknown:
            raise ConfigError(
                f"data.val_root must only hold classes of data.train_root, got "
                f"{', '.join(map(repr, unknown))} in {val_root!r}. "
                f"Classes: {shorten_list(class_names)}."
            )
        val = index_images(val_root, class_names, "data.val_root", rgb, present=found)
        warnings += describe_loose(val_root, "data.val_root")
    skipped: list[str] = []
    if verify:
        train, skipped = drop_unreadable(train, class_names, on_error)
        if val is not None:
            val, more = drop_unreadable(val, class_names, on_error)
            skipped += more
    if val_fraction is None:
        return DataSplits(train, val, class_names, skipped, warnings)
    indices = stratified_split(train.labels, val_fraction, seed)
    parts = [Subset(train, chosen) for chosen in indices]
    return DataSplits(parts[0], parts[1], class_names, skipped, warnings)


def list_classes(root: str | Path, key: str) -> list[str]:
    """Sorted names of the class folders of `root`; hidden ones are ignored.

    Raises:
        ConfigError: if the root is no folder or holds no class.
    """
    path = Path(root)
    if not path.is_dir():
        raise ConfigError(
            f"{key} must be a folder of class folders (ROOT/<class>/*.jpg), got {str(root)!r}, "
            f"which is not there. It is looked up from {os.getcwd()!r}."
        )
    names = list_folders(path)
    if not names:
        raise ConfigError(
            f"{key} must hold one folder for each class (ROOT/<class>/*.jpg), got {str(root)!r} "
            "without folders."
        )
    return names


def list_folders(root: Path) -> list[str]:
    """Sorted names of the folders directly in `root`, without hidden ones."""
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def match_classes(folders: Sequence[str], class_names: Sequence[str]) -> dict[str, str | None]:
    """The class that each folder is called after, None for one that is no class.

    The letters count and not how Unicode spells them: macOS writes ガ as カ and a mark.
    """
    spelled = {unicodedata.normalize("NFC", name): name for name in class_names}
    exact = set(class_names)
    return {
        name: name if name in exact else spelled.get(unicodedata.normalize("NFC", name))
        for name in folders
    }


def list_images(folder: str | Path) -> list[str]:
    """Image files anywhere below `folder`, sorted; hidden files and folders are ignored.

    Links to folders are followed, except to one that holds the link: that would never end.
    """
    found = []
    for directory, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not leads_back(os.path.join(directory, name))
        )
        found += [
            os.path.join(directory, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS)
        ]
    return sorted(found)


def list_loose_images(root: str | Path) -> list[str]:
    """Images directly in `root`, which belong to no class."""
    files = (path for path in Path(root).iterdir() if not path.is_dir())
    return sorted(
        path.name
        for path in files
        if not path.name.startswith(".") and path.name.lower().endswith(EXTENSIONS)
    )


def describe_loose(root: str | Path, key: str) -> list[str]:
    """A warning if there are some."""
    loose = list_loose_images(root)
    if not loose:
        return []
    return [
        f"{key} holds {len(loose)} picture(s) outside its class folders, which are not used: "
        f"{shorten_list(loose, 3)}."
    ]


def leads_back(path: str) -> bool:
    """Whether `path` is a link to one of the folders that led to it."""
    if not os.path.islink(path):
        return False
    way = Path(os.path.abspath(path)).parents
    return os.path.realpath(path) in {os.path.realpath(folder) for folder in way}


def index_images(
    root: str | Path,
    class_names: list[str],
    key: str,
    background: tuple[int, int, int],
    present: list[str] | None = None,
) -> ImageFolderDataset:
    """Images of the classes `present` (default: all), labelled by position in `class_names`.

    Raises:
        ConfigError: if a class folder holds no image.
    """
    paths: list[str] = []
    labels: list[int] = []
    empty = []
    for name, class_name in match_classes(present or class_names, class_names).items():
        found = list_images(Path(root) / name)
        if not found:
            empty.append(str(Path(root) / name))
        assert class_name is not None
        paths += found
        labels += [class_names.index(class_name)] * len(found)
    if empty:
        raise ConfigError(
            f"{key} must not hold empty class folders, got {shorten_list(empty)}. Add pictures "
            f"({' '.join(EXTENSIONS)}) or delete the folder."
        )
    return ImageFolderDataset(paths, labels, background)


def drop_unreadable(
    dataset: ImageFolderDataset, class_names: list[str], on_error: str
) -> tuple[ImageFolderDataset, list[str]]:
    """The readable images, and "path: reason" for each of the others.

    Raises:
        ConfigError: naming all unreadable files, or a class that would be left without images.
    """
    bad = find_unreadable(dataset.paths)
    lines = [f"{dataset.paths[i]}: {reason}" for i, reason in sorted(bad.items())]
    if bad and on_error == "error":
        listed = "\n".join(f"  {line}" for line in lines)
        raise ConfigError(
            f"data holds {len(bad)} unreadable picture(s):\n{listed}\n"
            "Repair or delete them, or train without them: data.on_error=skip."
        )
    keep = [i for i in range(len(dataset)) if i not in bad]
    labels = [dataset.labels[i] for i in keep]
    for label in sorted(set(dataset.labels) - set(labels)):
        raise ConfigError(
            f"data.on_error=skip leaves class {class_names[label]!r} without pictures:\n  "
            + "\n  ".join(lines)
        )
    kept = ImageFolderDataset([dataset.paths[i] for i in keep], labels, dataset.background)
    return kept, lines
