"""The table of settings: the name in a Python config -> the key in the config tree."""

from dataclasses import dataclass
from typing import Any, get_type_hints

from pochitrain.config.data import FolderConfig
from pochitrain.config.early_stopping import EarlyStoppingConfig
from pochitrain.config.insight import ConfusionMatrixConfig, GradientTrackingConfig
from pochitrain.config.metrics import MetricsConfig
from pochitrain.config.model import ModelConfig
from pochitrain.config.optimizer import LayerWiseGraphConfig, LayerWiseLRConfig
from pochitrain.config.optuna import OptunaConfig
from pochitrain.config.root import RootConfig

PER_COMMAND = ("resume", "allow_targets", "optuna.enabled")
"""Keys that belong to one command, so they are not saved in a config file."""


@dataclass(frozen=True)
class Row:
    """A setting: `name` in the file, `group.field` in the tree; the schema gives its type."""

    name: str
    """Name in the file, `name[entry]` for an entry of a dictionary."""
    group: str
    """Group in the tree; "" is the root."""
    field: str
    schema: type[Any]

    @property
    def hint(self) -> Any:
        """Type of the setting."""
        return get_type_hints(self.schema)[self.field]


def run_level_names() -> list[str]:
    """Keys of the root that hold a value (not a node) and are not for one command only."""
    kinds = (int, float, bool, str, int | None, float | None, str | None, list[float])
    hints = get_type_hints(RootConfig)
    return [name for name, hint in hints.items() if hint in kinds and name not in PER_COMMAND]


def root_row(name: str) -> Row:
    """The row of a key that has the same name in the file and at the root."""
    return Row(name, "", name, RootConfig)


ROWS = [
    # Guide: epochs, learning_rate, batch_size, device, cudnn_benchmark, work_dir, mean, std. The
    # run-level keys that are newer than the guide (seed, precision, ...) keep their name in a file.
    *map(root_row, run_level_names()),
    Row("num_classes", "model", "num_classes", ModelConfig),
    Row("pretrained", "model", "pretrained", ModelConfig),
    Row("train_data_root", "data", "train_root", FolderConfig),
    Row("val_data_root", "data", "val_root", FolderConfig),
    Row("num_workers", "data", "num_workers", FolderConfig),
    Row("train_pin_memory", "data", "pin_memory", FolderConfig),
    Row("infer_pin_memory", "data", "infer_pin_memory", FolderConfig),
    Row("gpu_non_blocking", "data", "non_blocking", FolderConfig),
    Row("enable_metrics_export", "metrics", "export", MetricsConfig),
    Row("enable_tensorboard", "metrics", "tensorboard", MetricsConfig),
    Row("enable_layer_wise_lr", "layer_wise_lr", "enabled", LayerWiseLRConfig),
    Row("enable_gradient_tracking", "gradient_tracking", "enabled", GradientTrackingConfig),
]

DICTIONARIES: dict[str, tuple[str, type[Any], tuple[str, ...]]] = {
    "early_stopping": (
        "early_stopping",
        EarlyStoppingConfig,
        tuple(EarlyStoppingConfig.__dataclass_fields__),
    ),
    "gradient_tracking_config": (
        "gradient_tracking",
        GradientTrackingConfig,
        ("record_frequency", "exclude_patterns", "group_by_block", "aggregation_method"),
    ),
    "confusion_matrix_config": (
        "confusion_matrix",
        ConfusionMatrixConfig,
        tuple(ConfusionMatrixConfig.__dataclass_fields__),
    ),
    "layer_wise_lr_config": (
        "layer_wise_lr",
        LayerWiseLRConfig,
        ("layer_rates", "graph_config"),
    ),
    "layer_wise_lr_config.graph_config": (
        "layer_wise_lr.graph_config",
        LayerWiseGraphConfig,
        tuple(LayerWiseGraphConfig.__dataclass_fields__),
    ),
    "optuna": (
        "optuna",
        OptunaConfig,
        (
            "study_name",
            "direction",
            "n_trials",
            "n_jobs",
            "optuna_epochs",
            "sampler",
            "pruner",
            "storage",
            "search_space",
        ),
    ),
}
"""Dictionary in the file -> group in the tree, schema, entries that it may have."""

MODELS = ("resnet18", "resnet34", "resnet50")
"""Models that are options; the others are `model=torchvision model.name=...`."""

OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw", "SGD": "sgd"}

SCHEDULERS = {
    "StepLR": "steplr",
    "MultiStepLR": "multisteplr",
    "CosineAnnealingLR": "cosineannealinglr",
    "ExponentialLR": "exponentiallr",
    "LinearLR": "linearlr",
}

SPECIAL = (
    "model_name",
    "optimizer",
    "scheduler",
    "scheduler_params",
    "class_weights",
    "train_transform",
    "val_transform",
    "image_size",
    "save_every",
    "overrides",
)
"""Names that translate.py handles one by one."""

FLAT_OPTUNA = DICTIONARIES["optuna"][2]
"""Names that older files have at the top level; the guide moved them into `optuna = {...}`."""

OPTIONS = (
    *(row.name for row in ROWS),
    *(name for name in DICTIONARIES if "." not in name),
    *SPECIAL,
)
"""Every name that is a setting."""

DEFAULT_WORK_DIR = "work_dirs"
"""The guide's `work_dir`; the only default of a file that differs from that of the tree."""
