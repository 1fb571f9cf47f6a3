"""Group `loss`: cross entropy and the weight of each class in it."""

from dataclasses import dataclass
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.validators import Node, Numbers, Range
from pochitrain.error import ConfigError

Weights = Annotated[
    list[float] | None,
    Numbers(
        "one number > 0 per class",
        Range(gt=0),
        remedy="Use loss=balanced for automatic weights.",
    ),
]


@dataclass
class LossConfig:
    """Cross entropy; the weights are balanced from the data, equal, or given by hand."""

    _target_: str = "pochitrain.loss.cross_entropy.build_cross_entropy"
    balance: bool = True
    """Weight of class c = N / (C * n_c) in the training split; ignored if weights are given."""
    class_weights: Weights = None
    """One weight per class, in the order of the class names; null = as `balance` says."""
    label_smoothing: Annotated[float, Range(ge=0, lt=1)] = 0.0
    """Part of the target that is spread over all classes."""


@dataclass
class ManualLossConfig(LossConfig):
    """Class weights given by hand; they are mandatory."""

    balance: bool = False
    class_weights: Weights = MISSING


def check_loss(node: Node, root: Node) -> None:
    """Check the number of class weights, if `model.num_classes` is given."""
    weights = node.get("class_weights")
    if weights is not None:
        check_num_weights(weights, root["model"].get("num_classes"))


def check_num_weights(weights: list[float], num_classes: int | None) -> None:
    """Check the number of class weights.

    Raises:
        ConfigError: with the guide's text, if it is not the number of classes.
    """
    if num_classes is not None and len(weights) != num_classes:
        raise ConfigError(
            f"クラス重みの長さ({len(weights)})がクラス数({num_classes})と一致しません: "
            f"loss.class_weights must have one weight per class, got {len(weights)} weights "
            f"for {num_classes} classes."
        )


def loss_warnings(node: Node, root: Node) -> list[str]:
    weighted = node.get("balance") or node.get("class_weights") is not None
    if weighted and root["data"].get("balanced_sampling"):
        return [
            "data.balanced_sampling=true already draws every class equally often, and the loss "
            "weights rare classes higher as well. With balanced sampling use loss=uniform."
        ]
    return []


SCHEMAS = {"cross_entropy": LossConfig, "manual": ManualLossConfig}
