"""Group `model`: which network, and what it starts from."""

from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import MISSING

from pochitrain.config.validators import Node, Range, Rule


def is_freeze(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, int) and value >= 1)


@dataclass
class ModelConfig:
    """A torchvision classification model by name, its head replaced for `num_classes`."""

    _target_: str = "pochitrain.model.classifier.build_classifier"
    name: str = MISSING
    num_classes: Annotated[
        int | None, Range(ge=1, remedy="Leave it null to take it from the data.")
    ] = None
    pretrained: bool = False
    weights: str | None = None
    """File with the weights to start from; it counts more than `pretrained`."""
    freeze: Annotated[Any, Rule("an integer >= 1 (epochs), true (for good) or null", is_freeze)] = (
        None
    )
    """Train only the last layer: in the first n epochs (an integer), or for good (true)."""


def model_warnings(node: Node, root: Node) -> list[str]:
    freeze = node.get("freeze")
    found = []
    if node.get("pretrained") and node.get("weights"):
        found.append(
            f"model.pretrained=true has no effect, because model.weights={node['weights']} is the "
            "start of the training."
        )
    if not freeze:
        return found
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
