"""Parts that the tests of several processes put into runs by `_target_`."""

import os
import time
from typing import Any

import fault_part
from fault_part import SignalAt, TinyNet
from torch import nn

from pochitrain.engine import process_group


def rank_of_process() -> str:
    return os.environ.get("RANK", "0")


def build_plain(*, num_classes: int, **_: object) -> nn.Module:
    """Batch norm, and no random draws of its own."""
    model = TinyNet(num_classes)
    model.dropout = nn.Identity()
    return model


class SignalRank(SignalAt):
    """`SignalAt` in the process of rank SIGNAL_RANK alone, and in its first start alone."""

    def __init__(self) -> None:
        chosen = os.environ.get("SIGNAL_RANK", "0") in (rank_of_process(), "all")
        if not chosen or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            os.environ.pop("SIGNAL_AT", None)
        super().__init__()

    def fire(self) -> None:
        with open(os.environ.get("FIRED", os.devnull), "w", encoding="utf-8") as file:
            file.write(str(time.time()))
        super().fire()


class SlowToSave(SignalRank):
    """Takes longer to save than a process stays after another one has ended."""

    def __init__(self) -> None:
        super().__init__()
        process_group.GRACE_S = 0.1

    def state_dict(self) -> dict[str, Any]:
        time.sleep(2)
        return super().state_dict()


class PoisonedNet(fault_part.PoisonedNet):
    """Gives NaN in rank 1 alone."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        if rank_of_process() != "1":
            self.poisoned = set()


def build_poisoned(*, num_classes: int, **_: object) -> nn.Module:
    return PoisonedNet(num_classes)
