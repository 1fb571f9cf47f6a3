"""The device and the precision of a run."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from pochitrain.error import ConfigError
from pochitrain.ranks import Ranks


def select_device(name: str | None, ranks: Ranks | None = None) -> torch.device:
    """The device called `name`; None = the first of cuda, mps and cpu that is available.

    Args:
        ranks: of several processes, each of which gets a GPU of its own.

    Raises:
        ConfigError: if it is not available.
    """
    if ranks is not None and not ranks.is_alone and name != "cpu":
        if name is None and not torch.cuda.is_available():
            return torch.device("cpu")
        found = select_device(name or "cuda")
        count = torch.cuda.device_count()  # 1 where a launcher shows each process only its own
        if count > 1 and ranks.local_rank >= count:
            raise ConfigError(
                f"device must be a GPU of its own for each process, got {ranks.local_world_size} "
                f"processes for {count} GPUs. Start as many as there are GPUs, or use device=cpu."
            )
        return torch.device(found.type, ranks.local_rank if count > 1 else 0)
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = available_devices()
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or (str(device) not in there and device.type not in there):
        raise ConfigError(
            f"device must be available ({', '.join(there)}) or null for automatic, got {name!r}."
        )
    if device.index is not None and str(device) not in there:
        raise ConfigError(f"device must be one of {', '.join(there)}, got {name!r}.")
    return device


def available_devices() -> list[str]:
    """Names of the available devices: `cuda`, `cuda:0`, ..., `mps`, `cpu`."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.insert(0, "mps")
    if torch.cuda.is_available():
        found = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *found]
    return found


def uses_tf32(device: torch.device, deterministic: bool) -> bool:
    """Whether float32 products and convolutions use TF32 (10 bits of mantissa), by rule.

    On NVIDIA GPUs that have it (compute capability >= 8), except in runs that are to be
    reproducible, which compute with all 24 bits.
    """
    if device.type != "cuda" or deterministic or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def set_float32_precision(device: torch.device, deterministic: bool) -> None:
    """Set it for the whole process, on a GPU; a run before may have left it otherwise."""
    if device.type == "cuda":
        on = uses_tf32(device, deterministic)
        torch.set_float32_matmul_precision("high" if on else "highest")
        torch.backends.cudnn.allow_tf32 = on


@dataclass
class Precision:
    """Device and number format of the forward pass. Parameters stay in float32."""

    device: torch.device
    dtype: torch.dtype | None
    """Format for autocast; None = float32 throughout."""
    scaler: torch.amp.GradScaler

    def autocast(self) -> AbstractContextManager[None]:
        """The context for a forward pass and its loss."""
        on = self.dtype is not None
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=on)

    @property
    def name(self) -> str:
        """fp32, bf16 or fp16."""
        names = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
        return names[self.dtype]

    @property
    def warnings(self) -> list[str]:
        """Warnings about this combination of device and precision."""
        if self.dtype is not torch.float16 or self.device.type != "cpu":
            return []
        return [
            "precision=fp16 can be a hundred times slower than fp32 on a CPU, which has no "
            "instructions for it. On a CPU use fp32 or bf16."
        ]


def select_precision(name: str, device: torch.device) -> Precision:
    """The precision called `name`: auto, fp32, bf16 or fp16 (with gradient scaling).

    auto is bf16 on a GPU with fast bf16 (compute capability >= 8), else fp32.

    Raises:
        ConfigError: if a GPU does not support bf16.
    """
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        name = "bf16" if fast else "fp32"
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
    if dtype is torch.bfloat16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            "precision must be fp32 or fp16 on this GPU, which has no bf16, got 'bf16'."
        )
    enabled = dtype is torch.float16 and device.type in ("cuda", "cpu")
    return Precision(device, dtype, torch.amp.GradScaler(device.type, enabled=enabled))
