"""What is monitored, which way, and what is said about a name that cannot be."""

import pytest
from hydra import compose, initialize_config_dir

from pochitrain.config.monitor import monitored_metric
from pochitrain.config.registry import register_config
from pochitrain.config.root import to_plain, validate
from pochitrain.error import ConfigError
from pochitrain.metric.table import METRICS
from pochitrain.paths import config_directory

NO_VALIDATION = ["data=folder", "data.train_root=a"]
MINE = "allow_targets=[mine.kappa]"
STOPS = "early_stopping.enabled=true"
SEARCH = "optuna.enabled=true"
COLUMN = ["+callbacks.gap._target_=pochitrain.callback.gap.Gap"]


def composed(overrides: list[str]) -> tuple[dict, list[str]]:
    register_config()
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", overrides)
    return to_plain(cfg), validate(cfg)


@pytest.mark.parametrize(
    ("overrides", "monitored", "direction"),
    [
        ([], "val_accuracy", "maximize"),
        (["monitor=val_mcc"], "val_mcc", "maximize"),
        (["monitor=val_top3_accuracy"], "val_top3_accuracy", "maximize"),
        (["monitor=train_loss"], "train_loss", "minimize"),
        (NO_VALIDATION, "train_loss", "maximize"),
        (["monitor=ema_val_macro_f1", "ema_decay=0.9"], "ema_val_macro_f1", "maximize"),
        # the guide's keys decide while monitor is at its default
        ([STOPS, "early_stopping.monitor=val_loss"], "val_loss", "maximize"),
        ([STOPS, "early_stopping.monitor=val_loss", "monitor=val_mcc"], "val_mcc", "maximize"),
        (["early_stopping.monitor=val_loss"], "val_accuracy", "maximize"),
        ([SEARCH], "val_accuracy", "maximize"),
        ([SEARCH, "optuna.direction=minimize"], "val_loss", "minimize"),
        ([SEARCH, STOPS, "early_stopping.monitor=val_loss"], "val_accuracy", "maximize"),
        ([SEARCH, "monitor=val_loss"], "val_loss", "minimize"),
        ([SEARCH, "monitor=val_macro_f1"], "val_macro_f1", "maximize"),
        ([SEARCH, "monitor=gap", "monitor_direction=minimize", *COLUMN], "gap", "minimize"),
    ],
    ids=str,
)
def test_monitored(overrides: list[str], monitored: str, direction: str) -> None:
    root, _ = composed(overrides)
    assert monitored_metric(root) == monitored
    assert root["optuna"]["direction"] == direction


def test_early_stopping_follows_the_monitor() -> None:
    assert composed(["monitor=val_mcc"])[0]["early_stopping"]["monitor"] == "val_mcc"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["monitor=val_f1"],
            f"monitor must be one of {', '.join(METRICS)}, val_top<k>_accuracy, train_loss, "
            "train_accuracy, got 'val_f1'. Did you mean val_macro_f1?",
        ),
        (["monitor=accuracy"], "got 'accuracy'. Did you mean val_accuracy?"),
        (["monitor=gap", "monitor_direction=maximize"], "got 'gap'."),
        (
            ["monitor=gap", *COLUMN],
            "got 'gap'. If a callback adds it, set monitor_direction=maximize or minimize.",
        ),
        (["monitor_direction=up"], "monitor_direction must be one of maximize, minimize, null"),
        (
            ["monitor=val_loss", "monitor_direction=maximize"],
            "monitor_direction must be null or minimize with monitor=val_loss, got 'maximize'.",
        ),
        (["monitor=ema_val_loss"], "Averaged weights need ema_decay=0.999."),
        (
            ["monitor=val_mcc", *NO_VALIDATION],
            "monitor must be one of train_loss, train_accuracy without validation pictures",
        ),
        (
            [SEARCH, "monitor=val_loss", "optuna.direction=maximize"],
            "optuna.direction must be minimize with monitor=val_loss, got 'maximize'. Leave it",
        ),
        (
            [SEARCH, "monitor=val_mcc", "optuna.direction=minimize"],
            "optuna.direction must be maximize with monitor=val_mcc, got 'minimize'.",
        ),
        (
            ["metrics.names=[val_macro_f2]"],
            "metrics.names must hold names of metrics, got 'val_macro_f2'. Did you mean "
            "val_macro_f1? Choices: val_accuracy, val_loss, val_balanced_accuracy",
        ),
        (["metrics.names=[train_loss]"], "metrics.names must hold names of metrics"),
        (["metrics.names=[ema_val_loss]"], "metrics.names must hold names of metrics"),
        (["+metrics.custom.kappa._target_=mine.kappa", MINE], "called val_<name>"),
        (
            ["+metrics.custom.val_mcc._target_=mine.kappa", MINE],
            "metrics.custom.val_mcc must be a new name",
        ),
        (["+metrics.custom.val_mine=3"], "metrics.custom.val_mine must be a node with _target_"),
        (
            ["+metrics.custom.val_kappa._target_=os.system"],
            "metrics.custom.val_kappa._target_ must be a metric of your own, got 'os.system'.",
        ),
    ],
    ids=str,
)
def test_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ([STOPS, "monitor=val_macro_f1"], "min_delta=3 with monitor=val_macro_f1: it never rises"),
        ([STOPS, "early_stopping.monitor=val_loss"], "a loss rarely falls by that much"),
        (["metrics.names=[val_mcc]", *NO_VALIDATION], "no effect without validation pictures"),
    ],
)
def test_warned(overrides: list[str], text: str) -> None:
    assert any(text in warning for warning in composed(overrides)[1])


def test_no_further_metrics() -> None:
    assert composed(["metrics.names=[]"])[0]["metrics"]["names"] == []
