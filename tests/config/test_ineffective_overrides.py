"""Settings typed for something that is switched off."""

import pytest
from omegaconf import OmegaConf

from pochitrain.config.ineffective_overrides import find_ineffective_overrides

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
