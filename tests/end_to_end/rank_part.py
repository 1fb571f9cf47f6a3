"""Parts that the tests of several processes put into runs by `_target_`."""

import os
import time

from fault_part import SignalAt, TinyNet
from torch import nn

RANK = os.environ.get("RANK", "0")


def build_plain(*, num_classes: int, **_: object) -> nn.Module:
    """Batch norm, and no random draws of its own."""
    model = TinyNet(num_classes)
    model.dropout = nn.Identity()
    return model


class SignalRank(SignalAt):
    """`SignalAt` in the process of rank SIGNAL_RANK alone, and in its first start alone."""

    def __init__(self) -> None:
        chosen = os.environ.get("SIGNAL_RANK", "0") == RANK
        if not chosen or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            os.environ.pop("SIGNAL_AT", None)
        super().__init__()

    def fire(self) -> None:
        with open(os.environ.get("FIRED", os.devnull), "w", encoding="utf-8") as file:
            file.write(str(time.time()))
        super().fire()
