"""Key `fault`: what a run does when something goes wrong in a batch."""

from dataclasses import dataclass

from pochitrain.config.validators import Node, require_choice


@dataclass
class FaultConfig:
    nonfinite: str = "stop"
    """A non-finite loss (NaN or infinity). stop: name the images and end; skip: leave the batch
    out."""
    out_of_memory: str = "stop"
    """stop: say what would fit, and end; halve: compute each batch in halves (then quarters, ...)
    and add up their gradients, so that an optimizer step still uses the whole batch."""


def check_fault(node: Node, root: Node) -> None:
    require_choice(node, "nonfinite", ("stop", "skip"), "fault.")
    require_choice(node, "out_of_memory", ("stop", "halve"), "fault.")


SCHEMAS = {"fault": FaultConfig}
