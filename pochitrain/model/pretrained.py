"""Models with weights, kept per process: a search builds the same one for each trial."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

from torch import nn

from pochitrain.model.copier import Copier
from pochitrain.model.head import reset_head
from pochitrain.seed import seeded_cpu

NUM_KEPT = 2
LARGEST_KEPT = 256 * 2**20
"""Bytes of weights; larger models are built again each time."""

KEPT: OrderedDict[Hashable, tuple[Copier, bool]] = OrderedDict()


def build_with_weights(
    key: tuple[Hashable, ...], weights: str | None, build: Callable[[], tuple[nn.Module, bool]]
) -> nn.Module:
    """A model with weights, of its own; built once and copied from then on.

    Building draws no random numbers of the caller's, so the new last layer depends only on them.

    Args:
        key: everything that the result depends on, besides the content of `weights`.
        weights: the file of the weights, if it is the user's.
        build: returns (model, whether the weights include those of its last layer). If not, the
            last layer is drawn anew.

    Raises:
        ConfigError: if `build` does.
    """
    key = (*key, *stamp(weights))
    found = KEPT.get(key)
    if found is None:
        with seeded_cpu(0, "backbone"):
            built, has_head = build()
        found = Copier(built), has_head
    keep(key, found)
    copier, has_head = found
    model = copier.copy()
    if not has_head:
        reset_head(model)
    return model


def stamp(weights: str | None) -> tuple[Hashable, ...]:
    """What changes when the file changes; nothing for a file that is not there."""
    file = Path(weights) if weights is not None else None
    if file is None or not file.is_file():
        return ()
    status = file.stat()
    return (str(file.resolve()), status.st_mtime_ns, status.st_size)


def keep(key: Hashable, found: tuple[Copier, bool]) -> None:
    if found[0].num_bytes > LARGEST_KEPT:
        return
    KEPT[key] = found
    KEPT.move_to_end(key)  # the one used last is dropped last
    while len(KEPT) > NUM_KEPT:
        KEPT.popitem(last=False)
