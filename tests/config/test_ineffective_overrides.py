"""Settings typed for something that is switched off."""

import pytest
from omegaconf import OmegaConf

from pochitrain.config.ineffective_overrides import find_ineffective_overrides
from pochitrain.config.registry import register_config

CFG = OmegaConf.create(
    {
        "early_stopping": {"enabled": False, "patience": 3},
        "gradient_tracking": {"enabled": True, "record_frequency": 2},
        "layer_wise_lr": {"enabled": False},
        "metrics": {"export": False},
        "confusion_matrix": {"title": "t"},
        "warmup_epochs": 0,
        "warmup_start_factor": 0.2,
        "optuna": {"enabled": False},
    }
)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "early_stopping.patience=3",
            "early_stopping.patience has no effect, because early_stopping.enabled is false. "
            "Add early_stopping.enabled=true.",
        ),
        (
            "+layer_wise_lr.layer_rates={fc:0.1}",
            "layer_wise_lr.layer_rates has no effect, because layer_wise_lr.enabled is false. ",
        ),
        (
            "confusion_matrix.title=t",
            "confusion_matrix.title has no effect, because metrics.export is false. ",
        ),
        (
            "warmup_start_factor=0.2",
            "warmup_start_factor has no effect, because warmup_epochs is 0. Add warmup_epochs=N.",
        ),
        (
            "patience=3",
            "early_stopping.patience has no effect, because early_stopping.enabled is false. ",
        ),
        ("optuna.n_trials=5", "optuna.n_trials has no effect, because optuna.enabled is false. A "),
    ],
)
def test_a_warning_with_the_switch(word: str, message: str) -> None:
    (text,) = find_ineffective_overrides([word], {"patience": "early_stopping.patience"}, CFG)
    assert text.startswith(message)


CROP = "torchvision.transforms.v2.RandomResizedCrop"
REFERS = "${resize_px:64,${transform.crop_pct}}"


@pytest.mark.parametrize(
    ("steps", "fit", "unused"),
    [
        ([], "crop", ["crop_scale", "interpolation", "crop_pct"]),
        ([], "pad", ["crop_scale", "crop_pct"]),
        ([{"_target_": CROP}], "crop", ["crop_pct"]),
        ([{"_target_": CROP, "scale": [0.5, 1]}], "crop", ["crop_scale", "crop_pct"]),
        ([{"_target_": CROP, "size": REFERS, "interpolation": 2}], "crop", ["interpolation"]),
        ([{"_target_": CROP, "size": REFERS}], "crop", []),
        ([{"_target_": CROP, "size": REFERS}], "auto", []),
        ([{"_target_": CROP, "size": REFERS}], "squash", ["crop_pct"]),
    ],
)
def test_keys_of_the_transform_that_no_step_uses(
    steps: list[dict[str, object]], fit: str, unused: list[str]
) -> None:
    register_config()
    node = {"crop_scale": "auto", "interpolation": "bicubic", "crop_pct": 0.5, "fit": fit}
    cfg = OmegaConf.create({"transform": {"train": steps, "val": [], **node}})
    words = [f"transform.{key}={value}" for key, value in node.items()]
    found = find_ineffective_overrides(words, {}, cfg)
    assert [text.partition(" has no effect, because ")[0] for text in found] == [
        f"transform.{key}" for key in unused
    ]
    cfg.transform.interpolation = None  # what is asked for is nothing
    again = find_ineffective_overrides(words, {}, cfg)
    assert not any(text.startswith("transform.interpolation") for text in again)


@pytest.mark.parametrize(
    "word",
    [
        "early_stopping=default",
        "early_stopping.enabled=false",
        "gradient_tracking.record_frequency=2",
        "layer_wise_lr.no_weight_decay_on_bias_and_norm=true",
        "optuna=none",
        "metrics.export=false",
        "epochs=3",
        "hydra.verbose=true",
    ],
)
def test_silent_about_what_counts(word: str) -> None:
    assert find_ineffective_overrides([word], {}, CFG) == []
