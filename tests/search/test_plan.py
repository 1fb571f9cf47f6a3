"""What a search refuses before its first trial."""

from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from pochitrain.error import ConfigError
from pochitrain.search.check import check_same_space

FLOAT, CHOICE = FloatDistribution(0.0, 1.0), CategoricalDistribution([1, 2])


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        (FLOAT, FloatDistribution(0.0, 5.0), True),
        (CHOICE, CategoricalDistribution([1, 2]), True),
        (CHOICE, CategoricalDistribution([1, 3]), False),
        (FLOAT, CHOICE, False),
    ],
)
def test_a_study_that_goes_on_keeps_its_choices(
    before: BaseDistribution, after: BaseDistribution, fits: bool
) -> None:
    study = optuna.create_study(study_name="s")
    spaces: dict[str, Any] = {"x": before}
    study.add_trial(create_trial(value=1.0, params={"x": 1}, distributions=spaces))
    if fits:
        check_same_space(study, {"x": after, "new": FLOAT})
        return
    with pytest.raises(ConfigError, match=r"search_space.x must stay a .* in study s, got a ch"):
        check_same_space(study, {"x": after})
