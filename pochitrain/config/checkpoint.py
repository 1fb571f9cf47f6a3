"""Key `checkpoint`: when the state of a run is saved."""

from dataclasses import dataclass

from pochitrain.config.validators import Node, require_int, require_positive_int, require_range


@dataclass
class CheckpointConfig:
    every_epochs: int = 1
    every_minutes: float | None = None
    """Also in mid-epoch, after this many minutes."""
    every_steps: int | None = None
    """Also in mid-epoch, after this many optimizer steps."""
    keep_last: int = 2
    """How many of the newest checkpoints stay on disk; the best one always does. With 2, a damaged
    newest one costs the time since the one before it, not the run."""
    in_background: bool = True
    """Write beside the training; it waits only while the state is copied."""


def check_checkpoint(node: Node, root: Node) -> None:
    require_positive_int(node, "every_epochs", "checkpoint.")
    require_positive_int(node, "every_steps", "checkpoint.")
    require_range(node, "every_minutes", "checkpoint.", low=0, open_low=True)
    require_int(node, "keep_last", "checkpoint.", low=1)


SCHEMAS = {"checkpoint": CheckpointConfig}
