"""From the guide's search space to the distributions that the plugin builds."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pochitrain.error import ConfigError
from pochitrain.search.search_space import Parameter, format_value, read_space
from pochitrain.sweep.private_api import parse_overrides

CONFIG = OmegaConf.create(
    {
        "learning_rate": 0.1,
        "batch_size": 32,
        "mean": [0.5, 0.5],
        "optimizer": {"lr": 0.1},
        "scheduler": {"gamma": 0.1},
        "hydra": {"aliases": {"lr": "learning_rate"}},
    }
)
GROUPS = {"optimizer": ["adam", "adamw", "sgd"], "scheduler": ["none", "steplr"]}


def read(**space: Any) -> tuple[dict[str, Parameter], dict[str, BaseDistribution]]:
    parameters = read_space(space, CONFIG, lambda group: GROUPS.get(group, []))
    distributions, _, _ = parse_overrides([item.sweep for item in parameters])
    for item in parameters:
        item.values = list(getattr(distributions[item.name], "choices", []))
    return {item.name: item for item in parameters}, distributions


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
            FloatDistribution(1e-5, 0.1, True),
        ),
        ({"type": "float", "low": 1, "high": 10}, FloatDistribution(1.0, 10.0)),
        (
            {"type": "float", "low": 0.1, "high": 0.5, "step": 0.1},
            FloatDistribution(0.1, 0.5, step=0.1),
        ),
        ({"type": "int", "low": 5, "high": 30}, IntDistribution(5, 30)),
        ({"type": "int", "low": 1, "high": 64, "log": True}, IntDistribution(1, 64, log=True)),
        ({"type": "int", "low": 2, "high": 8, "step": 3}, IntDistribution(2, 8, step=3)),
        ({"type": "categorical", "choices": [16, 32]}, CategoricalDistribution([16, 32])),
        ({"type": "categorical", "choices": [16]}, CategoricalDistribution([16])),
    ],
)
def test_distributions(entry: dict[str, Any], expected: BaseDistribution) -> None:
    _, distributions = read(batch_size=entry)
    assert distributions == {"batch_size": expected}


def test_a_list_may_be_searched() -> None:
    parameters, _ = read(mean={"type": "categorical", "choices": [[0.5, 0.5], [0.4, 0.4]]})
    assert parameters["mean"].override("[0.4,0.4]") == "mean=[0.4,0.4]"


def test_names() -> None:
    entry = {"type": "float", "low": 0.1, "high": 0.2}
    parameters, _ = read(lr=entry, scheduler_gamma=entry)
    assert parameters["lr"].override(0.15) == "learning_rate=0.15"
    assert parameters["scheduler_gamma"].override(0.15) == "scheduler.gamma=0.15"
    parameters, _ = read(**{"scheduler.gamma": entry})
    assert parameters["scheduler.gamma"].override(0.15) == "scheduler.gamma=0.15"
    with pytest.raises(
        ConfigError, match=r"entry for scheduler.gamma, got scheduler_gamma and sch"
    ):
        read(scheduler_gamma=entry, **{"scheduler.gamma": entry})


def test_options_of_a_group() -> None:
    choices = ["SGD", "adam", None]
    with pytest.raises(ConfigError, match=r"options of the group .adam, adamw, .*sgd.*None"):
        read(optimizer={"type": "categorical", "choices": choices})
    with pytest.raises(ConfigError, match="different options"):
        read(optimizer={"type": "categorical", "choices": ["SGD", "sgd"]})
    parameters, distributions = read(
        optimizer={"type": "categorical", "choices": ["SGD", "adam"]},
        scheduler={"type": "categorical", "choices": [None, "StepLR"]},
    )
    assert parameters["optimizer"].override("SGD") == "optimizer=sgd"
    none, step = distributions["scheduler"].choices  # type: ignore[attr-defined]
    assert parameters["scheduler"].override(none) == "scheduler=none"
    assert parameters["scheduler"].override(step) == "scheduler=steplr"
    assert parameters["scheduler"].written(none) is None


def test_choices_come_back_as_written() -> None:
    choices = [1, 1.0, True, "1", None, [1, 2], "a b", {"a": 1}]
    parameters, distributions = read(batch_size={"type": "categorical", "choices": choices})
    studied = distributions["batch_size"].choices  # type: ignore[attr-defined]
    written = [parameters["batch_size"].written(value) for value in studied]
    assert [(type(item), item) for item in written] == [(type(item), item) for item in choices]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(min_size=1),
        lambda inner: st.lists(inner, max_size=3),
    )
)
def test_values_survive_hydra_s_grammar(value: Any) -> None:
    if "${" in repr(value) or "\n" in str(value):
        return
    parsed = OverridesParser.create().parse_override(f"k={format_value(value)}")
    assert plain(parsed.value()) == value


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "text", value)


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match=r"search_space.learning_rat must .* learning_rate"):
        read(learning_rat={"type": "float", "low": 0.1, "high": 0.2})
