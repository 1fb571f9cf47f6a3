"""GPUs of a search: one per worker process, with memory freed between trials."""

import gc
import os
import sys

from omegaconf import DictConfig


def choose_gpu(place: int, config: DictConfig) -> None:
    """Give worker number `place` one GPU, round robin, unless the config chooses a device."""
    if config.get("device") not in (None, "cuda"):
        return
    import torch

    count = torch.cuda.device_count()
    if count > 1:
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = given.split(",") if given else [str(index) for index in range(count)]
        os.environ["CUDA_VISIBLE_DEVICES"] = names[place % count]


def free_memory() -> None:
    """Free the GPU memory of a failed trial before the next one starts."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
