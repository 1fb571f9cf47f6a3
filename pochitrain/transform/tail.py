"""The end of a pipeline that works on numbers: done for whole batches, on the device.

So images cross to this process and to the device as one byte per colour instead of four.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from pochitrain.transform.prefix import join_steps, open_up

CHUNK = 2**18
"""Numbers that are converted at once on a CPU, so that they stay in its cache (1 MB)."""

TO_BYTES = (v2.ToImage, v2.PILToTensor, v1.PILToTensor)


class BatchTail:
    """8-bit images (B, 3, H, W) to what the pipeline would have made of each, bit for bit."""

    def __init__(self, steps: list[Any]) -> None:
        """Keep `steps`: ToTensor, or two that do the same; then, perhaps, Normalize."""
        self.one_by_one = join_steps(steps)
        self.divides = type(steps[0]) is v1.ToTensor
        """ToTensor divides by 255; ToDtype multiplies by 1/255, which is not the same."""
        last = steps[-1]
        self.normalize = last if type(last) in (v1.Normalize, v2.Normalize) else None

    def __call__(self, images: Tensor) -> Tensor:
        """Convert a batch.

        Args:
            images: uint8, shape (B, 3, H, W).

        Returns:
            float32 of the same shape and memory format.
        """
        result = torch.empty_like(images, dtype=torch.float32)
        on_cpu = images.device.type == "cpu"
        step = max(1, CHUNK // images[0].numel()) if on_cpu else len(images)
        for start in range(0, len(images), step):
            self.convert(images[start : start + step], result[start : start + step])
        return result

    def is_exact(self) -> bool:
        """Whether 0 to 255 become what the installed torchvision makes of them."""
        values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
        expected = self.one_by_one(Image.fromarray(values))
        return torch.equal(self(torch.from_numpy(values).permute(2, 0, 1)[None])[0], expected)

    def convert(self, images: Tensor, out: Tensor) -> None:
        """What the steps do, without a new tensor for each of them."""
        out.copy_(images)
        if self.divides:
            # By a tensor: CUDA multiplies by 1/255 where it is given a number.
            out.div_(torch.full((1,), 255.0, device=out.device))
        else:
            out.mul_(1 / 255)
        if self.normalize is not None:
            F.normalize(out, self.normalize.mean, self.normalize.std, inplace=True)


def split_tail(transform: Callable[..., Any]) -> tuple[Callable[..., Any], BatchTail | None]:
    """What is done image by image, and the end that whole batches can go through; None = no such.

    The end is ToTensor, or ToImage or PILToTensor and a conversion to float32 that scales; then
    Normalize, if that is last.
    """
    if not isinstance(transform, v2.Compose):
        return transform, None
    steps = open_up(transform.transforms)
    end = len(steps) - (type(steps[-1]) in (v1.Normalize, v2.Normalize))
    to_float = steps[:end][-2:]
    if to_float and type(to_float[-1]) is v1.ToTensor:
        start = end - 1
    elif len(to_float) == 2 and type(to_float[0]) in TO_BYTES and scales(to_float[1]):
        start = end - 2
    else:
        return transform, None
    tail = BatchTail(steps[start:])
    return (join_steps(steps[:start]), tail) if tail.is_exact() else (transform, None)


def scales(step: Any) -> bool:
    """Whether a step makes float32 from 0 to 1 of 8-bit numbers, and does nothing else."""
    if type(step) is v2.ToDtype:
        return step.dtype is torch.float32 and bool(step.scale)
    return type(step) is v2.ConvertImageDtype and step.dtype is torch.float32
