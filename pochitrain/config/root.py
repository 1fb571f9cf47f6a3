"""The config tree: run-level keys, and the check of the whole tree right after composing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config import (
    checkpoint,
    confusion_matrix,
    data,
    early_stopping,
    fault,
    gradient_tracking,
    layer_wise_lr,
    loss,
    metrics,
    model,
    optimizer,
    optuna,
    scheduler,
    transform,
)
from pochitrain.config.allow import ALLOWED_TARGETS, refuse_forbidden_targets
from pochitrain.config.checkpoint import CheckpointConfig
from pochitrain.config.fault import FaultConfig
from pochitrain.config.validators import (
    Node,
    is_number,
    require_choice,
    require_int,
    require_positive_int,
    require_range,
)
from pochitrain.error import ConfigError, require
from pochitrain.text import did_you_mean, first_line

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass
class RootConfig:
    """Keys of a run that belong to no group."""

    epochs: int = 10
    learning_rate: float = 1e-3
    warmup_epochs: int = 0
    """The learning rate rises to the scheduler's over this many epochs; 0 = full from the start."""
    warmup_start_factor: float = 0.1
    """Part of the learning rate that a warm-up starts with."""
    ema_decay: float | None = None
    """Also average the weights with this decay (0.999, 0.9999) and evaluate the average."""
    batch_size: int = 32
    seed: int = 0
    device: str | None = None
    """cuda, cuda:1, mps or cpu; null = the first of these that is there."""
    precision: str = "auto"
    """auto = bf16 on GPUs that compute in it, else fp32."""
    compile: bool = False
    """Compile the model with torch.compile."""
    channels_last: bool = True
    """Store images channel by channel in memory (NHWC), which convolutions are faster on."""
    cudnn_benchmark: bool = False
    deterministic: bool = False
    """Same bits in every run on a GPU too, where torch has such an algorithm; slower."""
    gradient_accumulation: int = 1
    """Batches per optimizer step."""
    gradient_clip_norm: float | None = None
    """Largest L2 norm of all gradients together; null = not clipped."""
    work_dir: str = "outputs"
    """Parent of the run directories."""
    resume: str | None = None
    """null, auto (the newest unfinished run of the same config) or a run directory."""
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    fault: FaultConfig = field(default_factory=FaultConfig)
    callbacks: dict[str, Any] = field(default_factory=dict)
    """Callbacks of the user's own: name -> _target_ node."""
    allow_targets: list[str] = field(default_factory=list)
    """More callables that the config may name in _target_; only from the command line."""

    model: Any = MISSING
    data: Any = MISSING
    transform: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    loss: Any = MISSING
    layer_wise_lr: Any = MISSING
    early_stopping: Any = MISSING
    gradient_tracking: Any = MISSING
    metrics: Any = MISSING
    confusion_matrix: Any = MISSING
    optuna: Any = MISSING


Check = Callable[[Node, Node], None]

GROUPS: dict[str, tuple[Mapping[str, type[Any]], Check]] = {
    "model": (model.SCHEMAS, model.check_model),
    "data": (data.SCHEMAS, data.check_data),
    "transform": (transform.SCHEMAS, transform.check_transform),
    "optimizer": (optimizer.SCHEMAS, optimizer.check_optimizer),
    "scheduler": (scheduler.SCHEMAS, scheduler.check_scheduler),
    "loss": (loss.SCHEMAS, loss.check_loss),
    "layer_wise_lr": (layer_wise_lr.SCHEMAS, layer_wise_lr.check_layer_wise_lr),
    "early_stopping": (early_stopping.SCHEMAS, early_stopping.check_early_stopping),
    "gradient_tracking": (gradient_tracking.SCHEMAS, gradient_tracking.check_gradient_tracking),
    "metrics": (metrics.SCHEMAS, metrics.check_metrics),
    "confusion_matrix": (confusion_matrix.SCHEMAS, confusion_matrix.check_confusion_matrix),
    "optuna": (optuna.SCHEMAS, optuna.check_optuna),
    "checkpoint": (checkpoint.SCHEMAS, checkpoint.check_checkpoint),
    "fault": (fault.SCHEMAS, fault.check_fault),
}
WARNINGS = {
    "model": model.model_warnings,
    "loss": loss.loss_warnings,
    "scheduler": scheduler.scheduler_warnings,
    "early_stopping": early_stopping.early_stopping_warnings,
    "gradient_tracking": gradient_tracking.gradient_tracking_warnings,
}


def validate(cfg: DictConfig) -> list[str]:
    """Check the composed tree, before torch is imported and before any work.

    Args:
        cfg: the composed tree, without the `hydra` node.

    Returns:
        Warnings about settings that are legal but surely not meant.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    refuse_unknown_keys(cfg)
    root = to_plain(cfg)
    check_root(root)
    refuse_forbidden_targets(root, [*ALLOWED_TARGETS, *root["allow_targets"]])
    for group, (_, check) in GROUPS.items():
        require(isinstance(root[group], dict), group, "a mapping (KEY: VALUE)", root[group])
        check(root[group], root)
    return [text for group, find in WARNINGS.items() for text in find(root[group], root)]


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """The tree as plain Python values, interpolations resolved.

    Raises:
        ConfigError: if a mandatory value is missing or an interpolation fails.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{error.full_key} cannot be resolved: {first_line(error).rstrip('.')}."
        ) from None
    except RecursionError:
        raise ConfigError("The config cannot be resolved: an interpolation is circular.") from None
    if missing:
        raise ConfigError(
            f"{missing[0]} must be given, it has no default. Add {missing[0]}=... to the command."
        )
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def refuse_unknown_keys(cfg: DictConfig | ListConfig, prefix: str = "") -> None:
    """Refuse a key that was added to (`+scheduler.gama=1`) or deleted from (`~epochs`) a node with
    a fixed set of keys."""
    if isinstance(cfg, DictConfig) and not cfg._is_none() and not cfg._is_missing():
        schema = OmegaConf.get_type(cfg)
        fields = getattr(schema, "__dataclass_fields__", None)
        for key in map(str, cfg):
            child = cfg._get_node(key)
            if fields is not None and key not in fields:
                raise ConfigError(explain_unknown_key(prefix, key, schema))
            if isinstance(child, DictConfig):
                refuse_unknown_keys(child, f"{prefix}{key}.")
        deleted = [key for key in fields or () if key not in cfg._content]  # type: ignore[operator]
        if deleted:
            raise ConfigError(
                f"{prefix}{deleted[0]} must have a value, got none. Leave out "
                f"~{prefix}{deleted[0]} to keep its default."
            )


def explain_unknown_key(prefix: str, key: str, schema: type[Any] | None) -> str:
    """What to say about `prefix + key`, which the node made from `schema` does not have."""
    group = prefix.rstrip(".")
    text = f"{prefix}{key} is not a key of the config."
    fields = [] if schema is None else public_fields(schema)
    owners = [
        name
        for name, other in (GROUPS[group][0] if group in GROUPS else {}).items()
        if key in public_fields(other)
    ]
    hint = did_you_mean(key, fields, f"{prefix}{{}}")
    if owners:
        text += f" It is a key of {group}={' or '.join(owners)}."
    else:
        text += hint
    return f"{text} Choices: {', '.join(fields)}." if fields else text


def public_fields(schema: type[Any]) -> list[str]:
    fields: Mapping[str, Any] = getattr(schema, "__dataclass_fields__", {})
    return [name for name in fields if not name.startswith("_")]


def find_schema(name: str) -> type[Any] | None:
    """The dataclass called `name` among the root and all groups."""
    known: list[type[Any]] = [RootConfig]
    known += [schema for schemas, _ in GROUPS.values() for schema in schemas.values()]
    return next((schema for schema in known if schema.__name__ == name), None)


def check_root(root: Node) -> None:
    for key in ("epochs", "batch_size", "gradient_accumulation"):
        require_positive_int(root, key)
    require_int(root, "seed", low=0)
    require(root["seed"] < 2**63, "seed", "an integer < 2**63", root["seed"])
    require_range(root, "learning_rate", low=0, high=1, open_low=True)
    require_range(root, "gradient_clip_norm", low=0, open_low=True)
    require_range(root, "ema_decay", low=0, high=1, open_low=True, open_high=True)
    require_choice(root, "precision", PRECISIONS)
    device = root["device"]
    ok = device is None or re.fullmatch(r"cpu|mps|cuda(:\d+)?", device) is not None
    require(ok, "device", "cuda, cuda:N, mps, cpu or null (automatic)", device)
    ok = len(root["mean"]) == 3 and all(map(is_number, root["mean"]))
    require(ok, "mean", "3 numbers (red, green, blue)", root["mean"])
    ok = len(root["std"]) == 3 and all(is_number(value) and value > 0 for value in root["std"])
    require(ok, "std", "3 numbers > 0 (red, green, blue)", root["std"])
    for name, node in root["callbacks"].items():
        ok = isinstance(node, dict) and "_target_" in node
        require(ok, f"callbacks.{name}", "a node with _target_", node)
    require(root["resume"] != "", "resume", "auto, a run directory or null", root["resume"])
    rule = "the dotted name of a class or function, or a package followed by .*"
    for i, target in enumerate(root["allow_targets"]):
        require(isinstance(target, str), f"allow_targets[{i}]", rule, target)
    require(bool(root["work_dir"]), "work_dir", "a directory", root["work_dir"])
