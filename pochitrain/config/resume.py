"""Key `resume`: which keys may change when a run is continued, and what its config becomes."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pochitrain.error import ConfigError, require

Path = tuple[str, ...]
"""Keys from the root to a value; a key may itself contain dots (patterns of layer_rates)."""

HARMLESS = (
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
    "data.train_root",
    "data.val_root",
    "data.verify",
    "device",
    "epochs",
    "fault.*",
    "layer_wise_lr.graph_config.*",
    "metrics.*",
    "optuna",
    "optuna.*",
    "resume",
    "work_dir",
)
"""What may differ between the parts of a run, because the result stays the same (epochs: upwards).
A data set may move: that the images are the same is checked by their names and classes."""

MOVABLE = ("data.train_root", "data.val_root")
"""Harmless only for a run that is named: the same command on other images is another run."""

OF_THIS_COMMAND = ("allow_targets", "resume")
"""Never taken from the old run: what may be executed is said at the keyboard."""

OF_THE_PERSON = ("callbacks", "transform")
"""Their keys are not ours, so a new one is no later version's."""

MISSING = object()


def leaves(node: Mapping[str, Any], prefix: Path = ()) -> dict[Path, Any]:
    """Every value of a tree by its path; lists are values."""
    found: dict[Path, Any] = {}
    for key, value in node.items():
        path = (*prefix, str(key))
        if isinstance(value, Mapping) and value:
            found |= leaves(value, path)
        else:
            found[path] = list(value) if isinstance(value, (list, tuple)) else value
    return found


def is_harmless(path: Path) -> bool:
    return any(fnmatchcase(".".join(path), pattern) for pattern in HARMLESS)


def same_run(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], named: Callable[[Path], bool]
) -> bool:
    """Whether `wanted` continues the run with the config `saved`.

    It does if only harmless keys differ, and keys that an older version did not have and this
    command does not name: their default is what the older version did.

    Args:
        named: whether an override of this command is about the value at a path.
    """
    old, new = leaves(saved), leaves(wanted)
    known = known_paths(old)

    def may_differ(path: Path) -> bool:
        added = path not in old and path[0] not in OF_THE_PERSON and is_new(path, old, known)
        if added and not named(path):
            return same_target(path, saved, wanted)
        return is_harmless(path) and ".".join(path) not in MOVABLE

    differ = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    longer = bool(new[("epochs",)] >= old[("epochs",)])
    return all(map(may_differ, differ)) and longer and rule_order(old) == rule_order(new)


def known_paths(values: Mapping[Path, Any]) -> set[Path]:
    """The paths of all values and of the mappings that they are in."""
    return {path[:length] for path in values for length in range(1, len(path) + 1)}


def rule_order(values: Mapping[Path, Any]) -> list[Path]:
    """Patterns of learning rates in the order in which they are tried."""
    return [path for path in values if path[:2] == ("layer_wise_lr", "layer_rates")]


def combine(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], named: Callable[[Path], bool]
) -> dict[str, Any]:
    """The config of a run that is continued by name.

    It is the saved one, with the harmless keys that this command names. A key that an older version
    did not have gets its default.

    Args:
        saved: resolved config of the run.
        wanted: resolved config that this command composes.
        named: whether an override of this command is about the value at a path.

    Raises:
        ConfigError: if the command names a value that would make it another run.
    """
    old, new = leaves(saved), leaves(wanted)
    known = known_paths(old)
    refused = []
    for path, value in new.items():
        before = old.get(path, MISSING)
        if path[0] in OF_THIS_COMMAND:
            old[path] = value
        elif value == before:
            continue
        elif named(path):
            if is_harmless(path):
                old[path] = value
            else:
                refused.append((path, before, value))
        elif before is MISSING and is_new(path, old, known) and same_target(path, saved, wanted):
            old[path] = value
    for path in old.keys() - new.keys():
        if named(path) and not is_harmless(path):
            refused.append((path, old[path], MISSING))
    if refused:
        raise ConfigError(refusal(refused))
    epochs = saved["epochs"]
    rule = f">= {epochs} to continue this run"
    require(
        old[("epochs",)] >= epochs, "epochs", rule, old[("epochs",)], "A run can only get longer."
    )
    return tree(old)


def is_new(path: Path, old: Mapping[Path, Any], known: set[Path]) -> bool:
    """Whether the saved config says nothing at `path`: neither a tree of values (a default of null
    or {} against callbacks, layer_rates, transform.batch of the run) nor a value further up."""
    return path not in known and not any(path[:length] in old for length in range(1, len(path)))


def same_target(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a value that only `wanted` has belongs to an option that `saved` has too."""
    old, new = saved.get(path[0]), wanted.get(path[0])
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return old is None or path[0] not in saved
    return old.get("_target_") == new.get("_target_")


def refusal(refused: Sequence[tuple[Path, Any, Any]]) -> str:
    def show(value: Any) -> str:
        return "absent" if value is MISSING else repr(value)

    lines = [
        f"{'.'.join(path)} must be as in the run that is continued ({show(old)}), got {show(new)}."
        for path, old, new in sorted(refused, key=lambda item: item[0])
    ]
    remedy = (
        "Leave it out, or start a new run without resume=. What may change on resume: "
        f"{', '.join(HARMLESS)} (epochs only upwards)."
    )
    return "\n".join([*lines, remedy])


def tree(values: Mapping[Path, Any]) -> dict[str, Any]:
    """The reverse of `leaves`."""
    root: dict[str, Any] = {}
    for path, value in values.items():
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return root


def names(overrides: Sequence[str], aliases: Mapping[str, str]) -> Callable[[Path], bool]:
    """Whether one of the command's overrides is about a path.

    Args:
        overrides: as typed, such as `optimizer=sgd`, `+callbacks.mine._target_=...`.
        aliases: hydra.aliases.
    """
    keys = []
    for word in overrides:
        key = word.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")
        key = aliases.get(key, key)
        if key in ("experiment", "legacy"):  # they may set anything
            return lambda path: True
        # Where the images are can only be said together with data=folder, whose other keys then
        # are those of the run.
        keys.append("data._target_" if key == "data" else key)

    def named(path: Path) -> bool:
        dotted = ".".join(path)
        return any(dotted == key or dotted.startswith(f"{key}.") for key in keys)

    return named
