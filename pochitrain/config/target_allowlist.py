"""The check of every `_target_` in a config: what it may build.

A config can come from anywhere (an experiment of a colleague, the config in a checkpoint), so each
place takes only what belongs there: `optimizer` a class of torch.optim, `transform.train` a
transform of torchvision, and so on (target_kind.py). A name is looked up in modules that our own
code imports, and what counts is the object found, not the spelling: it must be one of the public
classes or functions of that kind. Nothing is imported because a config names it. Only the command
line can allow more: `allow_targets=[mypackage.*]`.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from hydra.core.singleton import Singleton
from hydra.utils import get_object

from pochitrain.config.target_kind import PLACES, Kind, Table
from pochitrain.error import ConfigError, require
from pochitrain.text import did_you_mean

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
MAX_DEPTH = 60
"""Of nested nodes; without a limit, a file could exhaust Python's stack."""


class TrustedFiles(metaclass=Singleton):
    """The Python files that this command may execute: those given with `--config`.

    Hydra hands its singletons to the worker processes of a sweep, so this reaches them too.
    """

    def __init__(self) -> None:
        self.resolvers: dict[str, Callable[[str, str], Any]] = {}
        """File -> function that executes the file and finds an object in it by its name."""
        self.targets: list[str] = []
        """The callables that references to these files resolve to, for Hydra's allow-list."""


def allowed_targets(extra: Sequence[str], task_overrides: Sequence[str] | None) -> list[str]:
    """`extra`, after checking that it was given on the command line.

    Args:
        extra: the value of `allow_targets` in the composed config.
        task_overrides: the overrides of the command line; None outside a Hydra run.

    Raises:
        ConfigError: if a part of `extra` was set by a config file.
    """
    typed = [word for word in task_overrides or () if word.lstrip("+").startswith("allow_targets=")]
    extended = any(
        "extend_list" in word for word in typed
    )  # adds to a list that a file may have set
    if extra and (not typed or extended):
        raise ConfigError(
            f"allow_targets must be given on the command line, got {list(extra)!r} from a config "
            "file, which could then run anything. If you trust it, add "
            f"'allow_targets=[{','.join(extra)}]' to the command."
        )
    return list(extra)


def check_allowed(patterns: Sequence[str]) -> None:
    """Refuse entries of `allow_targets` that are not dotted names.

    Raises:
        ConfigError: naming the entry.
    """
    for i, pattern in enumerate(patterns):
        ok = isinstance(pattern, str) and NAME.fullmatch(f"x.{pattern}".removesuffix(".*"))
        rule = "the dotted name of a class or function, or a package followed by .*"
        require(bool(ok), f"allow_targets[{i}]", rule, pattern)


def check_target_names(root: Any, allowed: Sequence[str]) -> None:
    """Refuse a `_target_` in the tree whose package is not one of those that its place allows.

    Only names are checked, without importing torch; `approve` checks the objects.

    Args:
        root: the plain tree.
        allowed: callables, or packages followed by `.*`, that the command line allows.

    Raises:
        ConfigError: for the first that is refused.
    """
    walk(root, "", None, lambda key, node, kind: check_name(key, node, kind, allowed))


RETURNED = ("torch.*", "torchvision.*", "pochitrain.*")
"""What functions that the user allows may return (Hydra checks returned callables too). It lets no
node name more: each target of a node is checked here, one by one."""


def approve(key: str, node: Any, allowed: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Check a node; in the result, each target is the public name of the object found.

    Args:
        key: dotted key of the node (`transform.val[0]`).
        node: the plain node.
        allowed: as in `check_target_names`.

    Returns:
        A copy of the node, and an allow-list for Hydra: its targets and what they return.

    Raises:
        ConfigError: for the first target that is not of the kind that belongs there.
    """
    kind = find_place(key)
    ok = isinstance(node, Mapping) and "_target_" in node
    require(ok, key, "a node with _target_", type(node).__name__)
    if kind is not None and kind.partial is not None:
        seen = node.get("_partial_", False)
        require(seen is kind.partial, f"{key}._partial_", str(kind.partial).lower(), seen)
    names: list[str] = [*allowed]

    def visit(key: str, node: Mapping[str, Any], kind: Kind | None) -> str:
        target = check_name(key, node, kind, allowed)
        if kind is None or is_allowed(target, allowed):
            if target in allowed:
                names.extend(find_home(target))
            names.extend(RETURNED)
            return target
        found, name = find_object(key, node, kind)
        names.extend([name, f"{found.__module__}.{found.__qualname__}", *kind.results])
        return name

    approved: dict[str, Any] = walk(node, key, kind, visit)
    return approved, list(dict.fromkeys(names))


def find_home(target: str) -> list[str]:
    """Where the object called `target` was defined, for Hydra, which looks at that too.

    Only for a name that the person wrote out: `mine.*` does not mean all that `mine` imports.

    Returns:
        Nothing where it cannot be found; building it will say why.
    """
    try:
        found: Any = get_object(target)
        return [f"{found.__module__}.{found.__qualname__}"]
    except Exception:
        return []


Visit = Callable[[str, Mapping[str, Any], Kind | None], str]
"""(key, node, kind) -> the target that replaces the one in the node."""


def walk(node: Any, key: str, kind: Kind | None, visit: Visit, depth: int = 0) -> Any:
    """A copy of `node` in which each `_target_` is replaced by the result of `visit`."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{key[:80]} ... is nested too deep (more than {MAX_DEPTH} nodes).")
    if isinstance(node, (list, tuple)):
        entries = enumerate(node)
        return [walk(entry, f"{key}[{i}]", kind, visit, depth + 1) for i, entry in entries]
    if not isinstance(node, Mapping):
        return node
    copy: dict[Any, Any] = {}
    if "_execution_whitelist_" in node:
        raise ConfigError(
            f"{key} must not set _execution_whitelist_: a config cannot extend the allow-list."
        )
    if "_target_" in node:
        copy["_target_"] = visit(key, node, kind)
        kind = None if kind is None else kind.parts or kind
    for name, child in node.items():
        if name != "_target_":
            below = f"{key}.{name}" if key else str(name)
            copy[name] = walk(child, below, PLACES.get(below, kind), visit, depth + 1)
    return copy


def find_place(key: str) -> Kind | None:
    """The kind of target that belongs at a dotted key; None if nothing is built there."""
    for place, kind in PLACES.items():
        if key == place or key.startswith((f"{place}.", f"{place}[")):
            return kind
    return None


def check_name(key: str, node: Mapping[str, Any], kind: Kind | None, allowed: Sequence[str]) -> str:
    """The target of a node, if its place allows its package.

    Raises:
        ConfigError: if not.
    """
    target = node["_target_"]
    ok = isinstance(target, str) and NAME.fullmatch(target) is not None and len(target) <= 200
    rule = "the dotted name of a class or function"
    require(ok, f"{key}._target_", rule, target[:80] if isinstance(target, str) else target)
    if is_allowed(target, allowed):
        return str(target)
    if kind is None:
        raise ConfigError(f"{key}._target_ must be left out: nothing is built at {key}.")
    private = any(part.startswith("_") for part in target.split("."))
    if private or not target.startswith(tuple(f"{package}." for package in kind.roots)):
        refuse(key, target, kind)
    return str(target)


def find_object(key: str, node: Mapping[str, Any], kind: Kind) -> tuple[Any, str]:
    """The object that the target of a node names, and its public name.

    Raises:
        ConfigError: if it does not exist or is not of this kind.
    """
    target = node["_target_"]
    tables, deferred = merge(kind.tables), merge(kind.deferred)
    module, _, attribute = target.rpartition(".")
    # Only modules that are imported already: making the tables has imported those of the kind.
    found = getattr(sys.modules.get(module), "__dict__", {}).get(attribute)
    if id(found) in tables:
        return found, tables[id(found)]
    if id(found) in deferred:
        if node.get("_partial_") is True:
            return found, deferred[id(found)]
        raise ConfigError(
            f"{key}._partial_ must be true, got {node.get('_partial_', False)!r}: {target} is a "
            "function that is called with each picture."
        )
    if found is not None:
        refuse(key, target, kind)
    names = {name.rpartition(".")[2] for name in (*tables.values(), *deferred.values())}
    refuse(key, target, kind, ", which is not there", did_you_mean(attribute, sorted(names)))


@cache
def merge(tables: tuple[Callable[[], Table], ...]) -> Table:
    """One table with the entries of all."""
    return {number: name for table in tables for number, name in table().items()}


def refuse(key: str, target: str, kind: Kind, why: str = "", hint: str = "") -> NoReturn:
    """Raise the error for a target that is not of `kind`; `why` and `hint` are added to it."""
    raise ConfigError(
        f"{key}._target_ must be {kind.rule}, got {target!r}{why}.{hint} "
        f"If you trust it, allow it on the command line: 'allow_targets=[{target}]'."
    )


def is_allowed(target: str, allowed: Sequence[str]) -> bool:
    """Whether `target` matches an entry of `allowed`."""
    return any(
        target.startswith(pattern[:-1]) if pattern.endswith(".*") else target == pattern
        for pattern in allowed
    )
