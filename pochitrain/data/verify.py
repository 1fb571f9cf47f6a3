"""Finds unreadable images before training starts; files seen good once are not decoded again."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pochitrain.atomic import write_text
from pochitrain.data.decode import UnreadableImageError, decode_rgb, without_warnings
from pochitrain.paths import cache_directory


def find_unreadable(paths: Sequence[str]) -> dict[int, str]:
    """Decode every image that has changed since it was last found good.

    Args:
        paths: image files.

    Returns:
        Index into `paths` -> why that file cannot be read.
    """
    store = cache_file(paths)
    known = load_known(store)
    stamps = {path: stamp(path) for path in paths}
    todo = [
        i for i, path in enumerate(paths) if (now := stamps[path]) is None or known.get(path) != now
    ]
    bad: dict[int, str] = {}
    # Pillow's decoders release the GIL, so threads use every core.
    with without_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = pool.map(reason_unreadable, (paths[i] for i in todo))
        for index, reason in zip(todo, reasons, strict=True):
            if reason is not None:
                bad[index] = reason
    if todo:
        good = {path: stamps[path] for i, path in enumerate(paths) if i not in bad}
        save_known(store, good)
    return bad


def reason_unreadable(path: str) -> str | None:
    try:
        decode_rgb(path)
    except UnreadableImageError as error:
        return str(error)
    return None


def stamp(path: str) -> list[int] | None:
    """Size in bytes and time of change in ns; None for a file that is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def cache_file(paths: Sequence[str]) -> Path:
    folder = os.path.commonpath([os.path.abspath(path) for path in paths]) if paths else ""
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return cache_directory() / f"readable-{name}.json"


def load_known(store: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def save_known(store: Path, good: dict[str, list[int] | None]) -> None:
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        write_text(store, json.dumps(good))
    except OSError:
        pass  # without a cache the next run decodes again; that is all
