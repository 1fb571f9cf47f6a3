"""Which configs are the same run, and what a continued run's config becomes."""

from copy import deepcopy
from typing import Any

import pytest
from omegaconf import OmegaConf

from pochitrain.error import ConfigError
from pochitrain.run.resume.config import (
    combine_configs,
    complete_transform,
    is_same_run,
    match_overrides,
    recorded_choice,
)
from pochitrain.run.resume.find import keep_image_steps, take_chosen

SAVED: dict[str, Any] = {
    "epochs": 10,
    "device": None,
    "resume": "auto",
    "allow_targets": ["mine.*"],
    "learning_rate": 0.001,
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001, "betas": [0.9, 0.999]},
    "scheduler": {"_target_": "Cosine", "T_max": 10},
    "layer_wise_lr": {"layer_rates": {r"layer1\.0": 0.1, "fc": 0.2}},
    "data": {"_target_": "folder", "train_root": "a", "num_workers": 0},
    "callbacks": {},
}


def changed(**values: Any) -> dict[str, Any]:
    """SAVED with other values; a double underscore separates keys."""
    tree = deepcopy(SAVED)
    for path, value in values.items():
        *parents, key = path.split("__")
        node = tree
        for parent in parents:
            node = node[parent]
        node[key] = value
    return tree


def named(*overrides: str) -> Any:
    return match_overrides(overrides, {"scheduler_T_max": "scheduler.T_max"})


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (SAVED, True),
        (changed(device="cpu", data__num_workers=4, epochs=20, resume=None), True),
        (changed(epochs=9), False),
        (changed(epochs=20, scheduler__T_max=20), False),
        (changed(learning_rate=0.1), False),
        (changed(data__train_root="b"), False),  # found by name, it may have moved there
        (changed(callbacks={"mine": {"_target_": "a"}}), False),
        (changed(later_key=1, scheduler__later_key=1), True),
        (changed(optimizer={"_target_": "torch.optim.SGD", "lr": 0.001}), False),
    ],
)
def test_same_run(wanted: dict[str, Any], expected: bool) -> None:
    assert is_same_run(SAVED, wanted, named()) is expected


def test_a_later_key_that_is_typed_makes_another_run() -> None:
    assert not is_same_run(SAVED, changed(later_key=2), named("later_key=2"))
    before = changed(callbacks={"one": {"_target_": "a"}})
    after = changed(callbacks={"one": {"_target_": "a"}, "two": {"_target_": "b"}})
    assert not is_same_run(before, after, named())


def test_the_order_of_rate_rules_matters() -> None:
    rates = SAVED["layer_wise_lr"]["layer_rates"]
    backwards = dict(reversed(rates.items()))
    assert backwards == rates
    assert not is_same_run(SAVED, changed(layer_wise_lr__layer_rates=backwards), named())


def test_combine_keeps_what_the_command_does_not_name() -> None:
    """Defaults of this command do not replace the run's values; T_max does not follow epochs."""
    wanted = changed(learning_rate=0.5, epochs=20, scheduler__T_max=20, allow_targets=[])
    combined = combine_configs(SAVED, wanted, named("epochs=20"))
    assert combined == changed(epochs=20, allow_targets=[])


def test_combine_takes_harmless_overrides() -> None:
    wanted = changed(device="cuda:1", data__num_workers=3, data__train_root="b")
    overrides = ("device=cuda:1", "data.num_workers=3", "++data.train_root=b")
    assert combine_configs(SAVED, wanted, named(*overrides)) == wanted


@pytest.mark.parametrize(
    ("wanted", "override", "message"),
    [
        (changed(learning_rate=0.5), "learning_rate=0.5", r"learning_rate must be as .*\(0.001\)"),
        (changed(scheduler__T_max=5), "scheduler_T_max=5", r"scheduler.T_max must .*\(10\), got 5"),
        (changed(epochs=5), "epochs=5", "epochs must be >= 10"),
        (changed(learning_rate=0.5), "experiment=fast", "learning_rate must be"),
        (
            changed(optimizer={"_target_": "torch.optim.SGD", "lr": 0.001, "momentum": 0.9}),
            "optimizer=sgd",
            r"^optimizer._target_ must be as in the run that is continued .*SGD'\.\nLeave it out",
        ),
        (
            changed(optimizer__momentum=0.9),
            "+optimizer.momentum=0.9",
            r"optimizer.momentum must be as in the run that is continued \(absent\), got 0.9",
        ),
        (
            changed(callbacks={"a": {"_target_": "b"}}),
            "+callbacks.a._target_=b",
            "callbacks.a._target_ must",
        ),
    ],
)
def test_combine_refuses_by_name(wanted: dict[str, Any], override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        combine_configs(SAVED, wanted, named(override))


def test_new_keys_of_a_later_version_get_their_default() -> None:
    wanted = changed(optimizer__fused=False, ema_decay=None)
    combined = combine_configs(SAVED, wanted, named())
    assert combined["optimizer"]["fused"] is False
    assert combined["ema_decay"] is None


@pytest.mark.parametrize("default", [None, {}, {"other": 1}])
@pytest.mark.parametrize("kept", [None, {"mine": {"_target_": "a"}}])
def test_defaults_do_not_replace_what_the_run_added(default: Any, kept: Any) -> None:
    """callbacks, layer_rates and transform.batch are {} or null where this command leaves them out;
    with resume=RUN they are those of the run."""
    saved = changed(callbacks=kept, layer_wise_lr__layer_rates=kept)
    wanted = changed(callbacks=default, layer_wise_lr__layer_rates=default)
    if kept is not None and default:
        saved["callbacks"]["other"] = saved["layer_wise_lr"]["layer_rates"]["other"] = 1
    assert combine_configs(saved, wanted, named()) == saved


def test_new_keys_of_another_option_are_not_mixed_in() -> None:
    wanted = changed(optimizer={"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9})
    assert combine_configs(SAVED, wanted, named()) == SAVED


def test_a_run_from_before_fit_and_crop_scale_did_what_the_schema_says() -> None:
    old = changed(transform={"size": 64})
    now = changed(transform={"size": 64, "fit": "crop", "crop_scale": None})
    assert is_same_run(complete_transform(old, now), now, named())
    other = changed(transform={"size": 64, "fit": "pad", "crop_scale": 0.6})
    completed = complete_transform(old, other)
    assert not is_same_run(completed, other, named())
    assert combine_configs(completed, other, named())["transform"] == now["transform"]


def test_a_run_from_before_interpolation_keeps_its_steps() -> None:
    before = {"size": 64, "val": "${resize_px:64,0.875}"}
    now = {"size": 64, "interpolation": "bicubic", "crop_pct": 0.9, "val": "${.crop_pct}"}
    cfg = OmegaConf.create({"transform": now})
    keep_image_steps(cfg, {"transform": before})
    assert (cfg.transform.interpolation, cfg.transform.crop_pct) == (None, 0.875)
    assert cfg.transform.val == 0.875  # what is made of them too
    same = OmegaConf.create({"transform": now})
    keep_image_steps(same, {"transform": {**before, "interpolation": None, "crop_pct": 0.5}})
    assert same.transform.interpolation == "bicubic"


def test_an_option_without_these_keys_gets_none() -> None:
    own = changed(transform={"strength": 3})
    assert complete_transform(own, own) == own


TUNED = changed()
TUNED |= {"tune": "recorded", "channels_last": False}


def tuning(**values: Any) -> dict[str, Any]:
    """What a command composes: usual values, nothing measured yet."""
    return changed() | {"tune": "auto", "channels_last": True} | values


def test_a_run_that_measured_is_continued_with_what_it_chose() -> None:
    command = named("tune=auto", "resume=auto")
    assert is_same_run(TUNED, tuning(), command)
    assert recorded_choice(TUNED, command) == {
        "tune": "recorded",
        "channels_last": False,
        "data.num_workers": 0,
    }
    assert combine_configs(TUNED, tuning(), named("tune=auto")) == TUNED
    assert combine_configs(TUNED, tuning(tune="off", channels_last=True), named()) == TUNED


def test_a_value_that_is_typed_is_not_replaced() -> None:
    command = named("tune=auto", "channels_last=true", "data.num_workers=3")
    assert not is_same_run(TUNED, tuning(), command)
    assert recorded_choice(TUNED, command) == {"tune": "recorded"}
    assert is_same_run(TUNED, tuning(tune="off", channels_last=False), named("channels_last=false"))
    assert not is_same_run(TUNED, tuning(tune="off"), named())


def test_a_run_that_did_not_measure_is_not_measured_when_it_is_continued() -> None:
    plain = changed() | {"tune": "off", "channels_last": True}
    assert not is_same_run(plain, tuning(), named("tune=auto"))
    assert recorded_choice(plain, named()) == {}
    with pytest.raises(ConfigError, match=r"^tune must be as in the run that is continued"):
        combine_configs(plain, tuning(), named("tune=auto"))


def test_what_the_run_has_chosen_is_not_chosen_again() -> None:
    saved = {"learning_rate": 0.003, "strategy": {"head_lr": 0.003}, "transform": {"fit": "pad"}}
    nodes = {"strategy": {"head_lr": None}, "transform": {"fit": "auto", "size": 64}}
    cfg = OmegaConf.create({"learning_rate": "${strategy.head_lr}", **nodes})
    settled = OmegaConf.to_container(take_chosen(cfg, saved), resolve=True)
    assert settled == {**saved, "transform": {"fit": "pad", "size": 64}}
    assert cfg.strategy.head_lr is None
    cfg.strategy.head_lr = 0.1  # typed
    assert take_chosen(cfg, saved).learning_rate == 0.1
