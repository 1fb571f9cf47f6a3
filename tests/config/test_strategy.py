"""Group `strategy`: wrong combinations are one error each, before anything is read."""

from typing import Any

import pytest

from pochitrain.config.strategy import (
    StrategyConfig,
    check_strategy,
    strategy_name,
    strategy_warnings,
)
from pochitrain.error import ConfigError
from pochitrain.run.resume.config import is_same_run


def make_root(name: str, **changed: Any) -> dict[str, Any]:
    root: dict[str, Any] = {
        "epochs": 10,
        "learning_rate": 0.1,
        "gradient_accumulation": 1,
        "model": {"pretrained": True, "weights": None, "freeze": None},
        "transform": {"batch": None},
        "optimizer": {"lr": 0.1, "weight_decay": 0.0},
        "gradient_tracking": {"enabled": False},
        "layer_wise_lr": {"enabled": False},
        "strategy": {**vars(StrategyConfig()), "name": name},
    }
    return root | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": {"freeze": 3}}, "model.freeze must be null with strategy=probe, got 3."),
        ({"transform": {"batch": {}}}, "transform.batch must be null with strategy=probe"),
        ({"gradient_tracking": {"enabled": True}}, "gradient_tracking.enabled must be false"),
        ({"layer_wise_lr": {"enabled": True}}, "layer_wise_lr.enabled must be false"),
        ({"gradient_accumulation": 4}, "gradient_accumulation must be 1 with strategy=probe"),
    ],
)
def test_what_features_cannot_do_is_refused_for_a_probe_only(
    changed: dict[str, Any], message: str
) -> None:
    root = make_root("probe", **changed)
    with pytest.raises(ConfigError, match=f"^{message}"):
        check_strategy(root["strategy"], root)
    for name in ("scratch", "finetune", "probe_finetune"):
        root = make_root(name, **changed)
        check_strategy(root["strategy"], root)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"learning_rate": None}, "learning_rate"),
        ({"optimizer": {"lr": None}}, "optimizer.lr"),
        ({"optimizer": {"lr": 0.1, "weight_decay": None}}, "optimizer.weight_decay"),
    ],
)
def test_only_a_probe_chooses_rates(changed: dict[str, Any], key: str) -> None:
    root = make_root("probe", **changed)
    check_strategy(root["strategy"], root)
    root = make_root("finetune", **changed)
    with pytest.raises(ConfigError, match=f"^{key} must be a value other than null, got null"):
        check_strategy(root["strategy"], root)


def test_warnings() -> None:
    def warn(name: str, **changed: Any) -> list[str]:
        root = make_root(name, **{key: value for key, value in changed.items() if key == "model"})
        node = root["strategy"] | {k: v for k, v in changed.items() if k != "model"}
        return strategy_warnings(node, root)

    random = {"pretrained": False, "weights": None}
    assert warn("probe") == warn("scratch", model=random) == []
    assert "random weights" in warn("probe", model=random)[0]
    assert warn("probe", model={"pretrained": False, "weights": "a.pth"}) == []
    expected = "strategy.views=2 has no effect, because strategy.name is finetune."
    assert warn("finetune", views=2) == [expected]
    assert warn("probe", head_epochs=3)[0].startswith("strategy.head_epochs=3 has no effect")
    assert warn("probe_finetune", head_epochs=3, views=2, head_lr=0.1, freeze_norm=True) == []
    assert warn("finetune", freeze_norm=True) == []
    expected = "strategy.freeze_norm=True has no effect, because strategy.name is scratch."
    assert warn("scratch", freeze_norm=True) == [expected]
    assert warn("budget", views=2) == []  # for what it chooses


def test_minutes_are_for_a_budget() -> None:
    root = make_root("probe", budget={"minutes": 3.0})
    expected = "budget.minutes=3 has no effect, because strategy.name is probe."
    assert strategy_warnings(root["strategy"], root) == [expected]
    root = make_root("budget", budget={"minutes": 3.0})
    check_strategy(root["strategy"], root)
    assert strategy_warnings(root["strategy"], root) == []


def test_a_config_older_than_the_group_is_scratch() -> None:
    assert strategy_name({"epochs": 3}) == "scratch"


def test_a_run_that_chose_its_rates_is_the_run_that_leaves_them_open() -> None:
    wanted = make_root("probe", learning_rate=None)
    wanted["optimizer"] = {"lr": None, "weight_decay": None}
    saved = make_root("probe", learning_rate=0.3)
    saved["optimizer"] = {"lr": 0.3, "weight_decay": 1.0}
    saved["strategy"] = saved["strategy"] | {"head_lr": 0.3, "head_weight_decay": 1.0}

    def nothing(path: tuple[str, ...]) -> bool:
        return False

    assert is_same_run(saved, wanted, nothing)
    assert not is_same_run(wanted, saved, nothing)
    assert not is_same_run(saved | {"learning_rate": 0.1, "epochs": 11}, wanted, nothing)
