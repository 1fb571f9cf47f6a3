"""Group `model`: the network and its initial weights."""

from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import MISSING

from pochitrain.config.validators import Node, Range, Rule


def is_freeze(value: object) -> bool:
    """Whether `value` is a boolean or an integer >= 1."""
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
    """File with the initial weights; takes precedence over `pretrained`."""
    freeze: Annotated[Any, Rule("an integer >= 1 (epochs), true (for good) or null", is_freeze)] = (
        None
    )
    """Train only the last layer: for the first n epochs (an integer) or the whole run (true)."""


def model_warnings(node: Node, root: Node) -> list[str]:
    freeze = node.get("freeze")
    found = []
    if node.get("pretrained") and node.get("weights"):
        found.append(
            f"model.pretrained=true has no effect, because model.weights={node['weights']} takes "
            "precedence."
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
