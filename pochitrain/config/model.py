"""Group `model`: which network, and what it starts from."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from pochitrain.config.validators import Node, require_positive_int
from pochitrain.error import require


@dataclass
class ModelConfig:
    """A torchvision classification model by name, its head replaced for `num_classes`."""

    _target_: str = "pochitrain.model.classifier.build_classifier"
    name: str = MISSING
    num_classes: int | None = None
    pretrained: bool = False
    weights: str | None = None
    freeze: Any = None
    """Train only the last layer: in the first n epochs (an integer), or for good (true)."""


def check_model(node: Node, root: Node) -> None:
    require_positive_int(node, "num_classes", "model.", "Leave it null to take it from the data.")
    freeze = node.get("freeze")
    require(
        freeze is None or isinstance(freeze, bool) or (isinstance(freeze, int) and freeze >= 1),
        "model.freeze",
        "an integer >= 1 (epochs), true (for good) or null",
        freeze,
    )
    both = bool(node.get("pretrained")) and node.get("weights") is not None
    require(
        not both,
        "model.weights",
        "null when model.pretrained=true",
        node.get("weights"),
        "Choose one start: torchvision's weights or your own file.",
    )


def model_warnings(node: Node, root: Node) -> list[str]:
    freeze = node.get("freeze")
    if not freeze:
        return []
    found = []
    if not node.get("pretrained") and not node.get("weights"):
        found.append(
            f"model.freeze={freeze} without model.pretrained=true or model.weights: the frozen "
            "part of the model is random."
        )
    if freeze is not True and freeze >= root["epochs"]:
        found.append(
            f"model.freeze={freeze} is not below epochs={root['epochs']}: only the last layer is "
            "trained."
        )
    return found


SCHEMAS = {"classifier": ModelConfig}
