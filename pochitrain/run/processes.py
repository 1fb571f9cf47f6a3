"""What a training in several processes needs besides the group that they form."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from pochitrain.engine.batch_norm import share_batch_norm
from pochitrain.engine.process_group import ProcessGroup
from pochitrain.error import ConfigError
from pochitrain.seed import derive_seed
from pochitrain.threads import num_cores


def share_model(cfg: DictConfig, model: nn.Module, group: ProcessGroup) -> None:
    """Prepare `model` for training in several processes; nothing with one.

    From here on each process draws random numbers of its own (dropout). The first one draws those
    of a single process.

    Raises:
        ConfigError: for a compiled model with batch norm that is to be shared.
    """
    if group.is_alone:
        return
    if cfg.sync_batch_norm and share_batch_norm(model) and cfg.compile:
        raise ConfigError(
            "compile must be false in a training in several processes of a model with batch norm, "
            "got True. Or use sync_batch_norm=false."
        )
    if not group.is_first:
        torch.manual_seed(derive_seed(cfg.seed, "rank", group.rank))


def warn_of_threads(device: torch.device, group: ProcessGroup) -> list[str]:
    """A warning where torchrun makes a CPU idle: it allows one thread unless told otherwise."""
    cores = num_cores()
    by_torchrun = group.ranks.launcher == "torchrun" and os.environ.get("OMP_NUM_THREADS") == "1"
    if not by_torchrun or device.type != "cpu" or cores == 1:
        return []
    return [
        f"each process computes with one thread, but has {cores} cores: torchrun sets "
        f"OMP_NUM_THREADS=1. Start it with OMP_NUM_THREADS={cores} torchrun ..."
    ]


def require_same_data(digest: str, group: ProcessGroup) -> None:
    """Refuse processes that have found different images.

    Args:
        digest: of the images of this process, hexadecimal.

    Raises:
        ConfigError: if those of another process have another one.
    """
    if group.is_alone:
        return
    number = int(digest[:15], 16)
    most, least = group.largest(number, -number)
    if most != -least:
        raise ConfigError(
            "data must be the same pictures in all processes, got others in some. Every machine "
            "must have the whole data set, and nothing may change it while a training starts."
        )


@contextmanager
def folder_of(group: ProcessGroup, folder: Path) -> Iterator[Path]:
    """Where the user's callbacks of this process write: the run directory, or in the processes that
    keep no files a folder that is removed afterwards."""
    if group.is_first:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pochitrain-") as scratch:
        yield Path(scratch)
