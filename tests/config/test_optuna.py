"""Group `optuna`: every wrong setting is one error that names the key, the rule and the value."""

from dataclasses import asdict
from typing import Any

import pytest

from pochitrain.config.optuna import OptunaConfig, check_optuna, check_search
from pochitrain.error import ConfigError

FLOAT = {"type": "float", "low": 0.1, "high": 0.5}


def settings(**changes: Any) -> dict[str, Any]:
    """Of a composed config: the direction is an interpolation in the schema."""
    return asdict(OptunaConfig(**{"enabled": True, "direction": "maximize", **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "up"}, "optuna.direction must be one of maximize, minimize, got 'up'"),
        ({"n_trials": 0}, "optuna.n_trials must be an integer >= 1, got 0"),
        ({"n_trials": True}, "optuna.n_trials must be an integer >= 1, got True"),
        ({"n_jobs": -1}, "optuna.n_jobs must be an integer >= 1, got -1"),
        ({"optuna_epochs": 0}, "optuna.optuna_epochs must be an integer >= 1, got 0"),
        ({"repeats": 0}, "optuna.repeats must be an integer >= 1, got 0"),
        ({"sampler": "TPE"}, "optuna.sampler must be one of TPESampler, .*, got 'TPE'"),
        ({"pruner": "Median"}, "optuna.pruner must be one of .*, null, got 'Median'"),
        ({"max_failure_rate": 2.0}, "optuna.max_failure_rate must be a number .*, got 2.0"),
        ({"study_name": ""}, "optuna.study_name must be a name, got ''"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_search(settings(**changes))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, "x must be a mapping with type, got 3"),
        ({}, "x.type must be one of float, int, categorical, got None"),
        ({"type": "real"}, "x.type must be one of float, int, categorical, got 'real'"),
        ({"type": "float", "low": 0.1}, "x.high must be given for type float"),
        ({**FLOAT, "high": None}, "x.high must be given for type float"),
        ({**FLOAT, "lg": True}, "x.lg is not a field of type float. Did you mean log?"),
        ({**FLOAT, "low": "a"}, "x.low must be a number, got 'a'"),
        ({**FLOAT, "low": 0.9}, r"x.low must be <= high \(0.5\), got 0.9"),
        ({**FLOAT, "low": 0.0, "log": True}, "x.low must be > 0 when log is true, got 0.0"),
        ({**FLOAT, "log": 1.5}, "x.log must be true or false, got 1.5"),
        ({**FLOAT, "log": True, "step": 0.1}, "x.step must be null when log is true, got 0.1"),
        ({**FLOAT, "step": 0.0}, "x.step must be > 0, got 0.0"),
        ({**FLOAT, "step": 0.5}, r"x.step must be <= high - low \(0.4\), got 0.5"),
        ({"type": "int", "low": 1, "high": 3, "step": 3}, r"x.step must be <= high - low \(2\)"),
        ({"type": "int", "low": 0, "high": 1.5}, "x.high must be an integer, got 1.5"),
        ({"type": "int", "low": 0, "high": 3, "log": True}, "x.low must be >= 1 when log"),
        ({"type": "categorical"}, "x.choices must be given for type categorical"),
        ({"type": "categorical", "choices": []}, "x.choices must be a list with at least one"),
        ({"type": "categorical", "choices": [1, 1]}, "x.choices must be different values"),
    ],
)
def test_wrong_entries(entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"optuna.search_space.{message}"):
        check_search(settings(search_space={"x": entry}))


def test_right_entries() -> None:
    space = {
        "a": FLOAT,
        "b": {"type": "int", "low": 1, "high": 64, "log": True},
        "c": {"type": "categorical", "choices": [1, 1.0, True, None, "1", [1, 2]]},
        "d": {**FLOAT, "low": None, "high": None, "type": "categorical", "choices": [1]},
        "e": None,
        "f": {**FLOAT, "low": 0.5},
    }
    check_search(settings(search_space=space))


def test_a_search_needs_validation() -> None:
    root = {"data": {"val_root": None, "val_fraction": None}}
    check_optuna({**settings(), "enabled": False}, root)
    with pytest.raises(
        ConfigError,
        match=r"^data.val_root must be given.*data.val_fraction=0.2",
    ):
        check_optuna(settings(), root)
