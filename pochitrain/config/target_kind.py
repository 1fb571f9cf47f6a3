"""The kinds of classes and functions that a config may name, and where.

The tables are made from the packages themselves when first asked for, so that the config can be
checked without torch. To allow another class for good, extend the table of its kind.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any

from pochitrain.config import data, loss, model

Table = Mapping[int, str]
"""id of a class or function -> the public name under which Hydra finds it."""


def public(home: str, accepts: Callable[[Any], bool]) -> dict[int, str]:
    """The public classes and functions of module `home` for which `accepts` is true."""
    found = {}
    for name, thing in vars(import_module(home)).items():
        is_code = inspect.isclass(thing) or inspect.isfunction(thing)
        if is_code and not name.startswith("_") and accepts(thing):
            found[id(thing)] = f"{home}.{name}"
    return found


def exactly(*names: str) -> dict[int, str]:
    """The table of these dotted names, which are imported."""
    found = {}
    for name in names:
        module, _, attribute = name.rpartition(".")
        found[id(getattr(import_module(module), attribute))] = name
    return found


def subclasses(home: str, base: type) -> dict[int, str]:
    """The public subclasses of `base` in module `home`."""
    return public(home, lambda thing: inspect.isclass(thing) and issubclass(thing, base))


def schema_targets(schemas: Mapping[str, Any]) -> list[str]:
    """The targets of the shipped options."""
    return list(dict.fromkeys(str(schema._target_) for schema in schemas.values()))


@cache
def models() -> Table:
    from torchvision import models as torchvision_models

    known = torchvision_models.list_models(module=torchvision_models)
    builders = [torchvision_models.get_model_builder(name) for name in known]
    found = public("torchvision.models", lambda thing: any(thing is each for each in builders))
    return found | exactly(*schema_targets(model.SCHEMAS))


@cache
def datasets() -> Table:
    return exactly(*schema_targets(data.SCHEMAS))


@cache
def layers() -> Table:
    from torch import nn

    return subclasses("torch.nn", nn.Module)


@cache
def losses() -> Table:
    from torch.nn.modules.loss import _Loss

    return subclasses("torch.nn", _Loss) | exactly(*schema_targets(loss.SCHEMAS))


@cache
def optimizers() -> Table:
    from torch.optim import Optimizer

    found = subclasses("torch.optim", Optimizer)
    del found[id(Optimizer)]
    return found


@cache
def schedulers() -> Table:
    from torch.optim.lr_scheduler import LRScheduler

    found = subclasses("torch.optim.lr_scheduler", LRScheduler)
    del found[id(LRScheduler)]
    return found


@cache
def transforms() -> Table:
    """Transforms v1 and v2, our own, layers (for nn.Sequential), and objects of a `--config`
    file."""
    from torchvision.transforms import v2

    def is_version_1(thing: Any) -> bool:
        own = thing.__module__.startswith("torchvision.transforms.")
        return own and inspect.isclass(thing) and not issubclass(thing, Enum)

    return {
        **layers(),
        **public("torchvision.transforms", is_version_1),
        **subclasses("torchvision.transforms.v2", v2.Transform),
        **exactly(
            "pochitrain.transform.fit.FitImage", "pochitrain.transform.reference.load_reference"
        ),
    }


@cache
def batch_transforms() -> Table:
    return {**transforms(), **exactly("pochitrain.transform.batch_mix.BatchMix")}


@cache
def image_functions() -> Table:
    """torchvision's functional transforms. Nodes of them must be partial: an image comes later."""

    def is_own(thing: Any) -> bool:
        own = thing.__module__.startswith("torchvision.transforms.")
        return own and inspect.isfunction(thing) and thing.__name__ != "register_kernel"

    homes = ("torchvision.transforms.v2.functional", "torchvision.transforms.functional")
    return {key: name for home in homes for key, name in public(home, is_own).items()}


@cache
def enums() -> Table:
    homes = ("torchvision.tv_tensors", "torchvision.transforms.v2", "torchvision.transforms")
    return {key: name for home in homes for key, name in subclasses(home, Enum).items()}


@cache
def values() -> Table:
    """Functions that build arguments for which YAML has no notation."""
    home = "pochitrain.transform.value"
    return public(home, lambda thing: inspect.isfunction(thing) and thing.__module__ == home)


@cache
def callbacks() -> Table:
    """Shipped callbacks without a path argument: with one, a config could write anywhere."""
    return exactly(
        "pochitrain.callback.early_stopping.EarlyStopping",
        "pochitrain.callback.freeze.FreezeBackbone",
    )


TENSOR_TYPES = tuple(
    f"torchvision.tv_tensors.{name}"
    for name in (
        "_bounding_boxes.BoundingBoxes",
        "_image.Image",
        "_keypoints.KeyPoints",
        "_mask.Mask",
        "_tv_tensor.TVTensor",
        "_video.Video",
    )
)
"""The classes that `tv_tensor_type` gives, by module."""


@dataclass(frozen=True)
class Kind:
    """What may stand in a place.

    Attributes:
        rule: description for messages (`must be <rule>`).
        roots: the packages that targets come from; checked before torch is imported.
        tables: functions that return the allowed classes and functions.
        deferred: functions that must have `_partial_: true`.
        parts: what its arguments may be; None = the same kind.
        partial: whether the node must have `_partial_: true` (or must not); None = either.
        results: callables that its functions return, as entries of Hydra's allow-list.
    """

    rule: str
    roots: tuple[str, ...]
    tables: tuple[Callable[[], Table], ...]
    deferred: tuple[Callable[[], Table], ...] = ()
    parts: "Kind | None" = None
    partial: bool | None = None
    results: tuple[str, ...] = ()


VALUES = Kind("a function of pochitrain.transform.value", ("pochitrain.transform",), (values,))
LAYER_PARTS = Kind(
    "a layer of torch.nn", ("torch.nn", "pochitrain.transform"), (layers, values), parts=VALUES
)
SCHEDULER_PARTS = Kind(
    "a scheduler of torch.optim.lr_scheduler",
    ("torch.optim", "pochitrain.transform"),
    (schedulers, values),
    parts=VALUES,
)
TRANSFORM_ROOTS = ("torchvision.transforms", "torch.nn", "pochitrain.transform")
TRANSFORM_PARTS = Kind(
    "a transform, enum or function of torchvision.transforms, or a layer of torch.nn",
    (*TRANSFORM_ROOTS, "torchvision.tv_tensors"),
    (transforms, enums, values),
    (image_functions,),
    results=TENSOR_TYPES,
)
TRANSFORM = Kind(
    "a transform of torchvision.transforms or torchvision.transforms.v2, or a layer of torch.nn",
    TRANSFORM_ROOTS,
    (transforms,),
    (image_functions,),
    TRANSFORM_PARTS,
)

PLACES: dict[str, Kind] = {
    "model": Kind(
        f"{' or '.join(schema_targets(model.SCHEMAS))} or a classifier of torchvision.models",
        ("pochitrain.model", "torchvision.models"),
        (models,),
        parts=LAYER_PARTS,
        partial=False,
        results=("torchvision.models.*", "timm.models.*"),
    ),
    "data": Kind(
        " or ".join(schema_targets(data.SCHEMAS)),
        ("pochitrain.data",),
        (datasets,),
        parts=VALUES,
        partial=False,
    ),
    "transform.train": TRANSFORM,
    "transform.val": TRANSFORM,
    "transform.batch": Kind(
        "pochitrain.transform.batch_mix.BatchMix or a transform of torchvision.transforms.v2",
        TRANSFORM_ROOTS,
        (batch_transforms,),
        parts=TRANSFORM_PARTS,
    ),
    "optimizer": Kind(
        "an optimizer of torch.optim", ("torch.optim",), (optimizers,), parts=VALUES, partial=True
    ),
    "scheduler": Kind(
        "a scheduler of torch.optim.lr_scheduler",
        ("torch.optim",),
        (schedulers,),
        parts=SCHEDULER_PARTS,
        partial=True,
    ),
    "loss": Kind(
        "a loss of pochitrain.loss or torch.nn",
        ("pochitrain.loss", "torch.nn"),
        (losses,),
        parts=VALUES,
        partial=False,
        results=("pochitrain.loss.*",),
    ),
    "callbacks": Kind(
        "a callback of your own, or EarlyStopping or FreezeBackbone of pochitrain.callback",
        ("pochitrain.callback",),
        (callbacks,),
        parts=VALUES,
        partial=False,
    ),
    "metrics.custom": Kind("a metric of your own", (), (), parts=VALUES),
}
"""Dotted key -> what may stand there and below."""

BY_NAME = ("callbacks", "metrics.custom")
"""Places that hold any number of nodes, under names that the user chooses."""
