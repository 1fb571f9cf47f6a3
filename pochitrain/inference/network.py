"""The networks that answer: a PyTorch model, or an exported one in ONNX Runtime."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pochitrain.engine.device import Precision
from pochitrain.error import ConfigError
from pochitrain.text import first_line

TOO_SMALL = re.compile("too small|can't be greater than actual input size")
"""torch's messages for an image smaller than a convolution or pooling needs."""


class Network(Protocol):
    """A function from images to class scores, in any engine."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, float32, shape (B, C), on any device, of images (B, 3, H, W)."""
        ...


@dataclass
class TorchNetwork:
    """The PyTorch model of a checkpoint; safe to call from several threads."""

    model: nn.Module
    precision: Precision
    memory_format: torch.memory_format
    name: str = "pytorch"

    @property
    def device(self) -> torch.device:
        return self.precision.device

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), self.precision.autocast():
            images = images.to(self.device, non_blocking=True, memory_format=self.memory_format)
            try:
                logits: Tensor = self.model(images)
            except RuntimeError as error:
                if not TOO_SMALL.search(str(error)):
                    raise
                height, width = images.shape[2:]
                raise ConfigError(
                    f"The model needs larger pictures than {width} x {height} px "
                    f"({first_line(error)}). Resize them."
                ) from error
        return logits.float()


@dataclass
class OnnxNetwork:
    """An exported model in ONNX Runtime; batches are split or padded to a fixed batch size."""

    session: Any
    name: str = "onnxruntime"
    device = torch.device("cpu")

    def __call__(self, images: Tensor) -> Tensor:
        entry = self.session.get_inputs()[0]
        self.require_size(images, entry.shape)
        size = entry.shape[0] if isinstance(entry.shape[0], int) else max(1, len(images))
        answers = []
        for part in torch.split(images.float().cpu().contiguous(), size):
            missing = size - len(part)
            padded = torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing else part
            (logits,) = self.session.run(None, {entry.name: padded.numpy()})
            answers.append(logits[: len(part)])
        return torch.from_numpy(np.concatenate(answers))

    def require_size(self, images: Tensor, shape: Sequence[int | str]) -> None:
        """Refuse images of another size (H, W) than the file was exported for."""
        height, width = shape[2:]
        if tuple(images.shape[2:]) != (height, width):
            raise ConfigError(
                f"The exported model needs pictures of {width} x {height} pixels, got "
                f"{images.shape[3]} x {images.shape[2]}. Resize them, or use the checkpoint."
            )
