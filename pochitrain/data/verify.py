"""Finds unreadable images before training starts; files seen good once are not decoded again."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pochitrain.data.decode import UnreadableImageError, decode_rgb, without_warnings
from pochitrain.data.index import DECODED, SUSPECT, FolderIndex


def find_unreadable(index: FolderIndex) -> dict[int, str]:
    """Decode every image that has changed since it was last found good.

    Returns:
        Position in the index -> why that file cannot be read.
    """
    todo = np.flatnonzero(index.known != DECODED)
    bad: dict[int, str] = {}
    # Pillow's decoders release the GIL, so threads use every core.
    with without_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = pool.map(reason_unreadable, (index.paths[i] for i in todo.tolist()))
        for position, reason in zip(todo.tolist(), reasons, strict=True):
            index.known[position] = DECODED if reason is None else SUSPECT
            if reason is not None:
                bad[position] = reason
    if len(todo):
        index.save()
    return bad


def reason_unreadable(path: str) -> str | None:
    try:
        decode_rgb(path)
    except UnreadableImageError as error:
        return str(error)
    return None
