"""Which keys may change when a run is resumed, and the resulting config.

Imports no torch.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pochitrain.config.strategy import CHOSEN_BY_RUN
from pochitrain.config.transform import CROP_PCT
from pochitrain.error import ConfigError, require

KeyPath = tuple[str, ...]
"""Keys from the root to a value; a key may itself contain dots (patterns of layer_rates)."""

CHANGEABLE_BY_NAME = (
    "data.root",
    "data.table",
    "data.test_root",
    "data.train_root",
    "data.train_shards",
    "data.val_root",
    "data.val_shards",
)
"""Where the data set is. It may move: its images are compared by names and classes. Only resume=RUN
may change these keys: for resume=auto, another data set means another run."""

CHANGEABLE = (
    "allow_targets",
    "checkpoint.*",
    "confusion_matrix.*",
    "cudnn_benchmark",
    "data.cache",
    "data.cache_gb",
    "data.infer_pin_memory",
    "data.non_blocking",
    "data.num_workers",
    "data.on_error",
    "data.pin_memory",
    *CHANGEABLE_BY_NAME,
    "data.verify",
    "device",
    "epochs",
    "fault.*",
    "layer_wise_lr.graph_config.*",
    "metrics.export",
    "metrics.names",
    "metrics.tensorboard",
    "optuna",
    "optuna.*",
    "report.*",
    "quiet",
    "resume",
    "stop_after_epoch",
    "work_dir",
)
"""Keys that do not change the result, so a resumed run may change them (epochs: only increase)."""

TUNABLE = ("channels_last", "data.num_workers")
"""Keys that `tune=auto` chooses. A run that did so has tune=recorded, and is continued with what it
chose, also by a command that says tune=auto."""

FROM_COMMAND = ("allow_targets", "resume")
"""Never taken from the saved run: only the command line decides what may be executed."""

USER_GROUPS = ("callbacks", "transform")
"""Groups with keys chosen by the user, in which a new key does not mean a newer version."""

ADDED_TO_TRANSFORM = {
    "fit": "crop",
    "crop_scale": None,
    "interpolation": None,
    "crop_pct": CROP_PCT,
}
"""Keys of group `transform` that earlier versions lacked, and what they did."""

SET_BY_MODEL = ("interpolation", "crop_pct")
"""Of these, the keys that an option of group `model` sets today."""

ABSENT = object()
"""Stands for a value that a config does not have."""


def complete_transform(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`saved` with the keys of group `transform` that an older version did not have.

    They get the values of the schema, which change nothing, and not those of the option of today:
    `imagenet` has other crops now.
    """
    node, now = saved.get("transform"), wanted.get("transform")
    if not isinstance(node, Mapping) or not isinstance(now, Mapping):
        return dict(saved)
    new = {key: value for key, value in ADDED_TO_TRANSFORM.items() if key in now}
    return {**saved, "transform": {**new, **node}}


def flatten(node: Mapping[str, Any], prefix: KeyPath = ()) -> dict[KeyPath, Any]:
    """Path -> value of every leaf of a tree; lists are leaves."""
    found: dict[KeyPath, Any] = {}
    for key, value in node.items():
        path = (*prefix, str(key))
        if isinstance(value, Mapping) and value:
            found |= flatten(value, path)
        else:
            found[path] = list(value) if isinstance(value, (list, tuple)) else value
    return found


def is_changeable(path: KeyPath) -> bool:
    """Whether a resumed run may change the value at `path`."""
    return any(fnmatchcase(".".join(path), pattern) for pattern in CHANGEABLE)


def is_same_run(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], is_overridden: Callable[[KeyPath], bool]
) -> bool:
    """Whether `wanted` continues the run with the config `saved`.

    It does if they differ only in changeable keys, and in keys that are missing in `saved`, because
    an older version wrote it, and not set by this command: their defaults are what it did. A number
    that the run has chosen itself is no difference from null.

    Args:
        is_overridden: whether an override of this command sets the value at a path.
    """
    old, new = flatten(saved), flatten(wanted)
    known = known_paths(old)

    tuned = saved.get("tune") == "recorded"

    def may_differ(path: KeyPath) -> bool:
        if tuned and path == ("tune",):
            return True
        chosen = tuned and wanted.get("tune") == "auto" and ".".join(path) in TUNABLE
        if chosen and not is_overridden(path):
            return True
        added = path not in old and path[0] not in USER_GROUPS and is_new(path, old, known)
        if added and not is_overridden(path):
            return same_target(path, saved, wanted)
        return is_changeable(path) and ".".join(path) not in CHANGEABLE_BY_NAME

    differ = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    differ -= {path for path in CHOSEN_BY_RUN if path in new and new[path] is None}
    longer = bool(new[("epochs",)] >= old[("epochs",)])
    return all(map(may_differ, differ)) and longer and rule_order(old) == rule_order(new)


def recorded_choice(
    saved: Mapping[str, Any], is_overridden: Callable[[KeyPath], bool]
) -> dict[str, Any]:
    """Dotted key -> value that a continued run has from `tune=auto`; empty if it measured nothing.

    Args:
        is_overridden: whether an override of this command sets the value at a path.
    """
    if saved.get("tune") != "recorded":
        return {}
    values = {".".join(path): value for path, value in flatten(saved).items()}
    kept = [key for key in TUNABLE if key in values and not is_overridden(tuple(key.split(".")))]
    return {"tune": "recorded"} | {key: values[key] for key in kept}


def known_paths(values: Mapping[KeyPath, Any]) -> set[KeyPath]:
    """The paths of all values and of all mappings that contain them."""
    return {path[:length] for path in values for length in range(1, len(path) + 1)}


def rule_order(values: Mapping[KeyPath, Any]) -> list[KeyPath]:
    """The patterns of layer_rates in order, which decides which pattern wins."""
    return [path for path in values if path[:2] == ("layer_wise_lr", "layer_rates")]


def combine_configs(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], is_overridden: Callable[[KeyPath], bool]
) -> dict[str, Any]:
    """The config of a run that is resumed by name.

    It is the saved one with the changeable keys that this command sets. A key that is missing,
    because an older version saved it, gets its default.

    Args:
        saved: resolved config of the run.
        wanted: resolved config that this command composes.
        is_overridden: whether an override of this command sets the value at a path.

    Raises:
        ConfigError: if the command sets a key that may not change.
    """
    old, new = flatten(saved), flatten(wanted)
    known = known_paths(old)
    refused = []
    for path, value in new.items():
        before = old.get(path, ABSENT)
        if path[0] in FROM_COMMAND:
            old[path] = value
        elif (path == ("tune",) and before == "recorded") or value == before:
            continue
        elif is_overridden(path):
            if is_changeable(path):
                old[path] = value
            else:
                refused.append((path, before, value))
        elif before is ABSENT and is_new(path, old, known) and same_target(path, saved, wanted):
            old[path] = value
    for path in old.keys() - new.keys():
        if is_overridden(path) and not is_changeable(path):
            refused.append((path, old[path], ABSENT))
    if refused:
        raise ConfigError(explain_refusal(refused))
    epochs = saved["epochs"]
    rule = f">= {epochs} to continue this run"
    require(
        old[("epochs",)] >= epochs, "epochs", rule, old[("epochs",)], "A run can only get longer."
    )
    return unflatten(old)


def is_new(path: KeyPath, old: Mapping[KeyPath, Any], known: set[KeyPath]) -> bool:
    """Whether the saved config has nothing at `path`: no value there, above or below.

    A default of null or {} (callbacks, layer_rates, transform.batch) is not new if the saved config
    has values below it.

    Args:
        old: the saved config, flat.
        known: `known_paths(old)`.
    """
    return path not in known and not any(path[:length] in old for length in range(1, len(path)))


def same_target(path: KeyPath, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether both configs have the same `_target_` in the group of `path`."""
    old, new = saved.get(path[0]), wanted.get(path[0])
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return old is None or path[0] not in saved
    return old.get("_target_") == new.get("_target_")


def explain_refusal(refused: Sequence[tuple[KeyPath, Any, Any]]) -> str:
    """The message: a line per (path, saved value, value of this command), then the remedy."""

    def show(value: Any) -> str:
        return "absent" if value is ABSENT else repr(value)

    other_options = {path[:-1] for path, _, _ in refused if path[-1] == "_target_"}
    lines = [
        f"{'.'.join(path)} must be as in the run that is continued ({show(old)}), got {show(new)}."
        for path, old, new in sorted(refused, key=lambda item: item[0])
        # If the option itself differs, do not list its fields.
        if path[-1] == "_target_" or path[:-1] not in other_options
    ]
    remedy = (
        "Leave it out, or start a new run without resume=. What may change on resume: "
        f"{', '.join(CHANGEABLE)} (epochs may only grow)."
    )
    return "\n".join([*lines, remedy])


def unflatten(values: Mapping[KeyPath, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    root: dict[str, Any] = {}
    for path, value in values.items():
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return root


def match_overrides(
    overrides: Sequence[str], aliases: Mapping[str, str]
) -> Callable[[KeyPath], bool]:
    """A function that tells whether one of the overrides sets the value at a path.

    Args:
        overrides: as typed, such as `optimizer=sgd`, `+callbacks.mine._target_=...`.
        aliases: hydra.aliases.
    """
    keys = []
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")
        key = aliases.get(key, key)
        if key in ("experiment", "legacy"):  # they may set anything
            return lambda path: True
        # data.train_root needs data=folder in the command; its other keys must stay as saved.
        keys.append("data._target_" if key == "data" else key)

    def is_overridden(path: KeyPath) -> bool:
        dotted = ".".join(path)
        return any(dotted == key or dotted.startswith(f"{key}.") for key in keys)

    return is_overridden
