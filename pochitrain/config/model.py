"""Group `model`: which network, and what it starts from."""

from dataclasses import dataclass

from omegaconf import MISSING

from pochitrain.config.rule import Node, require_positive_int
from pochitrain.error import require


@dataclass
class ModelConfig:
    """A torchvision classification model by name, its head replaced for `num_classes`."""

    _target_: str = "pochitrain.model.classifier.build_classifier"
    name: str = MISSING
    num_classes: int | None = None
    pretrained: bool = False
    weights: str | None = None


def check_model(node: Node, root: Node) -> None:
    require_positive_int(node, "num_classes", "model.", "Leave it null to take it from the data.")
    both = bool(node.get("pretrained")) and node.get("weights") is not None
    require(
        not both,
        "model.weights",
        "null when model.pretrained=true",
        node.get("weights"),
        "Choose one start: torchvision's weights or your own file.",
    )


SCHEMAS = {"classifier": ModelConfig}
