"""Every field of the groups about rates, stopping, tracking, graphs and augmentation, set wrongly.

The whole tree is composed and checked as a run would; torch plays no part.
"""

import pytest
from hydra import compose, initialize_config_dir

from pochitrain.config.optimizer import check_layer_wise_lr
from pochitrain.config.registry import register_config
from pochitrain.config.root import validate
from pochitrain.error import ConfigError
from pochitrain.paths import config_directory

LAYER = "layer_wise_lr=resnet"
WRONG = [
    # overrides, key that the message starts with, text in it
    ([LAYER, "layer_wise_lr.layer_rates.fc=0"], "layer_wise_lr.layer_rates['fc']", "> 0 and <= 1"),
    ([LAYER, "layer_wise_lr.layer_rates.fc=1.5"], "layer_wise_lr.layer_rates['fc']", "got 1.5"),
    ([LAYER, "layer_wise_lr.layer_rates.fc=-1"], "layer_wise_lr.layer_rates['fc']", "got -1"),
    ([LAYER, "layer_wise_lr.layer_rates.fc=nan"], "layer_wise_lr.layer_rates['fc']", "got nan"),
    ([LAYER, "layer_wise_lr.decay=0.5"], "layer_wise_lr.decay", "null when layer_rates"),
    (["layer_wise_lr=decay", "layer_wise_lr.decay=0"], "layer_wise_lr.decay", "> 0 and <= 1"),
    (["layer_wise_lr=decay", "layer_wise_lr.decay=1.1"], "layer_wise_lr.decay", "got 1.1"),
    (["layer_wise_lr.enabled=true"], "層別学習率が有効ですが layer_rates が定義されていません", ""),
    (["early_stopping.patience=0"], "early_stopping.patience", ">= 1, got 0"),
    (["early_stopping.min_delta=-1"], "early_stopping.min_delta", ">= 0, got -1"),
    (["early_stopping.min_delta=nan"], "early_stopping.min_delta", "got nan"),
    (["early_stopping.monitor=loss"], "early_stopping.monitor", "val_accuracy, val_loss"),
    (["gradient_tracking.record_frequency=0"], "gradient_tracking.record_frequency", "got 0"),
    (["gradient_tracking.aggregation_method=sum"], "gradient_tracking.aggregation_method", "rms"),
    (["gradient_tracking.exclude_patterns=['*']"], "gradient_tracking.exclude_patterns[0]", "'*'"),
    (["confusion_matrix.fontsize=0"], "confusion_matrix.fontsize", "got 0"),
    (["confusion_matrix.title_fontsize=-3"], "confusion_matrix.title_fontsize", "got -3"),
    (["confusion_matrix.label_fontsize=999"], "confusion_matrix.label_fontsize", "<= 200"),
    (["confusion_matrix.figsize=[8]"], "confusion_matrix.figsize", "width and height"),
    (["confusion_matrix.figsize=[8,0]"], "confusion_matrix.figsize", "0 < x"),
    (["report.language=fr"], "report.language", "one of auto, en, ja"),
    (["report.max_pictures=-1"], "report.max_pictures", ">= 0, got -1"),
    (["warmup_epochs=-1"], "warmup_epochs", ">= 0, got -1"),
    (["warmup_start_factor=0"], "warmup_start_factor", "> 0 and <= 1"),
    (["warmup_start_factor=1.5"], "warmup_start_factor", "got 1.5"),
    (["ema_decay=1"], "ema_decay", "> 0 and < 1"),
    (["ema_decay=0"], "ema_decay", "got 0"),
    (["model.freeze=0"], "model.freeze", "an integer >= 1"),
    (["model.freeze=head"], "model.freeze", "got 'head'"),
    (["model.freeze=1.5"], "model.freeze", "got 1.5"),
    (["loss=manual", "loss.class_weights=[1,0]"], "loss.class_weights", "one number > 0"),
    (["loss.label_smoothing=1"], "loss.label_smoothing", "< 1"),
    (["+transform.batch=3"], "transform.batch", "null or a node with _target_"),
]


def check(overrides: list[str]) -> list[str]:
    register_config()
    with initialize_config_dir(str(config_directory())):
        return validate(compose("config", overrides))


@pytest.mark.parametrize(("overrides", "key", "text"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_value(overrides, key, text):
    with pytest.raises(ConfigError) as caught:
        check(overrides)
    assert str(caught.value).startswith(key)
    assert text in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_pattern_that_is_no_regular_expression():
    node = {"enabled": True, "layer_rates": {"(": 0.1}}
    with pytest.raises(ConfigError, match=r"layer_rates.* must be a regular expression, got '\('"):
        check_layer_wise_lr(node, {})


WARNED = [
    (
        ["model.pretrained=true", "model.weights=mine.pth"],
        "model.pretrained=true has no effect, because model.weights=mine.pth takes",
    ),
    (["data.balanced_sampling=true"], "With balanced sampling use loss=uniform"),
    (["warmup_epochs=10", "epochs=10"], "never reaches the full learning rate"),
    (["model.freeze=2"], "the frozen part of the model is random"),
    (["model.freeze=5", "epochs=5", "model.pretrained=true"], "only the last layer is trained"),
    (
        [LAYER, "scheduler=cosineannealinglr", "scheduler.eta_min=0.0003"],
        "above the learning rate of conv1, bn1, layer1",
    ),
    (
        ["gradient_tracking.enabled=true", "metrics.export=false"],
        "has no effect, because metrics.export is false",
    ),
]


@pytest.mark.parametrize(("overrides", "text"), WARNED, ids=lambda value: str(value)[:60])
def test_surely_not_meant(overrides, text):
    assert any(text in warning for warning in check(overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        [LAYER],
        ["layer_wise_lr=decay"],
        ["model.freeze=2", "model.pretrained=true"],
        ["model.freeze=true", "model.pretrained=true"],
        ["warmup_epochs=5", "ema_decay=0.999"],
        ["transform=modern"],
        ["data.balanced_sampling=true", "loss=uniform"],
    ],
    ids=str,
)
def test_right_values_give_no_warning(overrides):
    assert check(overrides) == []
