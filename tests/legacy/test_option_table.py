"""Every row of the guide's tables: a Python file with that option, and the composed value."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from pochitrain.config.root import GROUPS, RootConfig
from pochitrain.legacy.option import DICTIONARIES, OPTIONS, ROWS, SPECIAL

Compose = Callable[..., dict[str, Any]]

RATES = {"conv1": 0.0001, "layer1": 0.0003, "fc": 0.01}

TABLE: list[tuple[str, str, Any]] = [
    # Basic settings
    ("model_name = 'resnet18'", "model.name", "resnet18"),
    ("model_name = 'resnet34'", "model.name", "resnet34"),
    ("model_name = 'resnet50'", "model.name", "resnet50"),
    ("model_name = 'mobilenet_v3_small'", "model.name", "mobilenet_v3_small"),
    ("num_classes = 4", "model.num_classes", 4),
    ("pretrained = True", "model.pretrained", True),
    ("train_data_root = 'other/train'", "data.train_root", "other/train"),
    ("val_data_root = 'other/val'", "data.val_root", "other/val"),
    ("val_data_root = None", "data.val_root", None),
    ("batch_size = 7", "batch_size", 7),
    ("batch_size = 7", "data.batch_size", 7),
    ("num_workers = 3", "data.num_workers", 3),
    ("epochs = 12", "epochs", 12),
    ("learning_rate = 1", "learning_rate", 1.0),
    ("learning_rate = 0.02", "optimizer.lr", 0.02),
    ("optimizer = 'Adam'", "optimizer._target_", "torch.optim.Adam"),
    ("optimizer = 'AdamW'", "optimizer._target_", "torch.optim.AdamW"),
    ("optimizer = 'AdamW'", "optimizer.weight_decay", 1e-2),
    ("optimizer = 'SGD'", "optimizer._target_", "torch.optim.SGD"),
    ("optimizer = 'SGD'", "optimizer.momentum", 0.9),
    ("enable_metrics_export = False", "metrics.export", False),
    ("work_dir = 'elsewhere'", "work_dir", "elsewhere"),
    ("device = 'cpu'", "device", "cpu"),
    ("device = None", "device", None),
    ("import torch\ndevice = torch.device('cuda:1')", "device", "cuda:1"),
    ("cudnn_benchmark = True", "cudnn_benchmark", True),
    # The guide's defaults, where the file is silent
    ("", "work_dir", "work_dirs"),
    ("", "metrics.export", True),
    ("", "device", None),
    ("", "cudnn_benchmark", False),
    ("", "scheduler._target_", "torch.optim.lr_scheduler.ConstantLR"),
    ("", "layer_wise_lr.enabled", False),
    ("", "early_stopping.enabled", False),
    ("", "early_stopping.patience", 30),
    ("", "early_stopping.min_delta", 3.0),
    ("", "early_stopping.monitor", "val_accuracy"),
    ("", "gradient_tracking.enabled", False),
    ("", "gradient_tracking.exclude_patterns", ["fc\\.", "\\.bias"]),
    ("", "loss.balance", True),
    ("", "confusion_matrix.title", "Confusion Matrix"),
    ("", "optuna.study_name", "pochitrain_optimization"),
    ("", "optuna.n_trials", 20),
    ("", "optuna.pruner", "MedianPruner"),
    # Schedulers
    (
        "scheduler = 'StepLR'\nscheduler_params = {'step_size': 3, 'gamma': 0.2}",
        "scheduler",
        {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 3, "gamma": 0.2},
    ),
    (
        "scheduler = 'MultiStepLR'\nscheduler_params = {'milestones': (3, 6), 'gamma': 0.5}",
        "scheduler",
        {"_target_": "torch.optim.lr_scheduler.MultiStepLR", "milestones": [3, 6], "gamma": 0.5},
    ),
    (
        "scheduler = 'CosineAnnealingLR'\nscheduler_params = {'T_max': 50, 'eta_min': 1e-6}",
        "scheduler",
        {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 50, "eta_min": 1e-6},
    ),
    ("epochs = 9\nscheduler = 'CosineAnnealingLR'", "scheduler.T_max", 9),
    (
        "scheduler = 'ExponentialLR'\nscheduler_params = {'gamma': 0.9}",
        "scheduler",
        {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.9},
    ),
    (
        "scheduler = 'LinearLR'\nscheduler_params = "
        "{'start_factor': 1.0, 'end_factor': 0.2, 'total_iters': 40}",
        "scheduler",
        {
            "_target_": "torch.optim.lr_scheduler.LinearLR",
            "start_factor": 1.0,
            "end_factor": 0.2,
            "total_iters": 40,
        },
    ),
    (
        "scheduler = None\nscheduler_params = None",
        "scheduler._target_",
        "torch.optim.lr_scheduler.ConstantLR",
    ),
    # Layer-wise learning rates
    (
        f"enable_layer_wise_lr = True\nlayer_wise_lr_config = {{'layer_rates': {RATES}}}",
        "layer_wise_lr.layer_rates",
        RATES,
    ),
    (
        f"enable_layer_wise_lr = True\nlayer_wise_lr_config = {{'layer_rates': {RATES}}}",
        "layer_wise_lr.enabled",
        True,
    ),
    (
        "layer_wise_lr_config = {'graph_config': {'use_log_scale': True}}",
        "layer_wise_lr.graph_config.use_log_scale",
        True,
    ),
    # Early stopping
    ("early_stopping = {'enabled': True}", "early_stopping.enabled", True),
    ("early_stopping = {'patience': 5}", "early_stopping.patience", 5),
    ("early_stopping = {'min_delta': 1}", "early_stopping.min_delta", 1.0),
    ("early_stopping = {'monitor': 'val_loss'}", "early_stopping.monitor", "val_loss"),
    # Gradient tracking
    ("enable_gradient_tracking = True", "gradient_tracking.enabled", True),
    (
        "gradient_tracking_config = {'record_frequency': 2}",
        "gradient_tracking.record_frequency",
        2,
    ),
    (
        "gradient_tracking_config = {'exclude_patterns': ['bn']}",
        "gradient_tracking.exclude_patterns",
        ["bn"],
    ),
    (
        "gradient_tracking_config = {'group_by_block': False}",
        "gradient_tracking.group_by_block",
        False,
    ),
    *(
        (
            f"gradient_tracking_config = {{'aggregation_method': '{method}'}}",
            "gradient_tracking.aggregation_method",
            method,
        )
        for method in ("median", "mean", "max", "rms")
    ),
    # Class weights
    ("class_weights = None", "loss.balance", True),
    ("class_weights = [1.0, 2, 1.5, 0.8]", "loss.class_weights", [1.0, 2.0, 1.5, 0.8]),
    ("class_weights = [1.0, 2.0]", "loss.balance", False),
    # Normalisation
    ("mean = (0.5, 0.5, 0.5)", "mean", [0.5, 0.5, 0.5]),
    ("std = [0.25, 0.25, 0.25]", "std", [0.25, 0.25, 0.25]),
    # Confusion matrix
    ("confusion_matrix_config = {'title': '混同行列'}", "confusion_matrix.title", "混同行列"),
    ("confusion_matrix_config = {'xlabel': '予測'}", "confusion_matrix.xlabel", "予測"),
    ("confusion_matrix_config = {'ylabel': '実際'}", "confusion_matrix.ylabel", "実際"),
    ("confusion_matrix_config = {'fontsize': 9}", "confusion_matrix.fontsize", 9),
    ("confusion_matrix_config = {'title_fontsize': 9}", "confusion_matrix.title_fontsize", 9),
    ("confusion_matrix_config = {'label_fontsize': 9}", "confusion_matrix.label_fontsize", 9),
    ("confusion_matrix_config = {'figsize': (10, 7)}", "confusion_matrix.figsize", [10.0, 7.0]),
    ("confusion_matrix_config = {'cmap': 'Greens'}", "confusion_matrix.cmap", "Greens"),
    # Optuna
    ("optuna = {'study_name': 'mine'}", "optuna.study_name", "mine"),
    ("optuna = {'direction': 'minimize'}", "optuna.direction", "minimize"),
    ("optuna = {'n_trials': 5}", "optuna.n_trials", 5),
    ("optuna = {'n_jobs': 2}", "optuna.n_jobs", 2),
    ("optuna = {'optuna_epochs': 4}", "optuna.optuna_epochs", 4),
    *(
        (f"optuna = {{}}\noptuna['sampler'] = '{name}'", "optuna.sampler", name)
        for name in ("TPESampler", "RandomSampler", "CmaEsSampler", "GridSampler")
    ),
    *(
        (f"optuna = {{}}\noptuna['pruner'] = {name!r}", "optuna.pruner", name)
        for name in (
            "MedianPruner",
            "PercentilePruner",
            "SuccessiveHalvingPruner",
            "HyperbandPruner",
            "NopPruner",
            None,
        )
    ),
    ("optuna = {'storage': 'sqlite:///s.db'}", "optuna.storage", "sqlite:///s.db"),
    (
        "optuna = {'search_space': {'batch_size': {'type': 'categorical', 'choices': (16, 32)}}}",
        "optuna.search_space",
        {"batch_size": {"type": "categorical", "choices": [16, 32]}},
    ),
    ("optuna = {'n_trials': 5}", "optuna.enabled", False),
    # Wider than the guide
    ("train_pin_memory = False", "data.pin_memory", False),
    ("infer_pin_memory = True", "data.infer_pin_memory", True),
    ("gpu_non_blocking = False", "data.non_blocking", False),
    ("enable_tensorboard = True", "metrics.tensorboard", True),
    ("seed = 3", "seed", 3),
    ("from pathlib import Path\nwork_dir = Path('a') / 'b'", "work_dir", "a/b"),
    ("import numpy as np\nlearning_rate = np.float32(0.5)", "learning_rate", 0.5),
    ("confusion_matrix_config = {'title': '${epochs}'}", "confusion_matrix.title", "${epochs}"),
    (r"work_dir = 'C:\\${epochs}\\'", "work_dir", "C:\\${epochs}\\"),
    ("overrides = {'optimizer.betas': [0.8, 0.9]}", "optimizer.betas", [0.8, 0.9]),
    ("overrides = {'checkpoint.every_epochs': 2}", "checkpoint.every_epochs", 2),
    ("overrides = {'loss': 'uniform'}", "loss.balance", False),
]


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """Trees of files that several rows look at."""
    return {}


@pytest.mark.parametrize(("text", "key", "expected"), TABLE)
def test_composed_value(
    compose_text: Compose, composed: dict[str, Any], text: str, key: str, expected: Any
) -> None:
    plain = composed.get(text) or compose_text(text)
    composed[text] = plain
    value = OmegaConf.select(OmegaConf.create({"root": escaped(plain)}), f"root.{key}")
    value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if key == "scheduler":
        value = {name: entry for name, entry in value.items() if name in expected}
    assert value == expected
    assert type(value) is type(expected)


def escaped(value: Any) -> Any:
    from pochitrain.text import escape_interpolations

    return escape_interpolations(value)


def test_every_option_is_in_the_table() -> None:
    text = "\n".join(row[0] for row in TABLE)
    elsewhere = {"image_size", "save_every", "train_transform", "val_transform"}
    newer = {row.name for row in ROWS if not row.group} - {"epochs", "work_dir"}
    missing = [name for name in OPTIONS if name not in text and name not in elsewhere | newer]
    assert missing == []
    for name, (_, _, entries) in DICTIONARIES.items():
        assert [entry for entry in entries if f"'{entry}'" not in text] == [], name


def test_every_row_leads_to_a_key_of_the_tree() -> None:
    for row in ROWS:
        place = row.schema.__dataclass_fields__
        assert row.field in place
        assert row.group in ("", *GROUPS)
        if not row.group:
            assert row.field in RootConfig.__dataclass_fields__
    assert len(set(OPTIONS)) == len(OPTIONS)
    assert set(SPECIAL) <= set(OPTIONS)
