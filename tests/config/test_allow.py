"""A config may build what is listed, and only the keyboard can add to the list."""

import pytest

from pochitrain.config.allow import ALLOWED_TARGETS, allowed_targets, refuse_forbidden_targets
from pochitrain.error import ConfigError


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.nnx.Linear",
        "pochitrain.run.train.train",
        "",
    ],
)
def test_anything_else_is_refused_wherever_it_stands(target: str) -> None:
    tree = {"a": [{"b": 1}, {"_target_": "torch.nn.Linear", "inner": {"_target_": target}}]}
    with pytest.raises(ConfigError, match=r"^a\[1\]\.inner\._target_ must be a callable that a "):
        refuse_forbidden_targets(tree, ALLOWED_TARGETS)


def test_what_is_listed_passes_and_a_name_can_be_added() -> None:
    tree = {"x": {"_target_": "torch.optim.lr_scheduler.StepLR"}, "y": {"_target_": "my.Own"}}
    refuse_forbidden_targets(tree, [*ALLOWED_TARGETS, "my.Own"])
    refuse_forbidden_targets(tree, [*ALLOWED_TARGETS, "my.*"])
    with pytest.raises(ConfigError, match=r"^y\._target_"):
        refuse_forbidden_targets(tree, [*ALLOWED_TARGETS, "my.Ow"])


def test_a_target_must_be_a_name() -> None:
    with pytest.raises(ConfigError, match=r"^a\._target_ must be the name of a callable, got 5"):
        refuse_forbidden_targets({"a": {"_target_": 5}}, ALLOWED_TARGETS)


def test_a_file_cannot_extend_the_list() -> None:
    with pytest.raises(ConfigError, match=r"must be given on the command line"):
        allowed_targets(["os.system"], ["epochs=1"])
    assert "os.system" in allowed_targets(["os.system"], ["allow_targets=[os.system]"])
    assert allowed_targets([], None) == ALLOWED_TARGETS
