"""Builds objects from config nodes."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config.loader import LOADER_FIELDS, LoaderConfig
from pochitrain.config.target_allowlist import (
    TrustedFiles,
    allowed_targets,
    approve,
    check_allowed,
)
from pochitrain.config.target_kind import BY_NAME, PLACES
from pochitrain.error import ConfigError, PochiError
from pochitrain.text import escape_interpolations, first_line


class Components:
    """Instantiates nodes of the config. Each place allows certain targets (target_allowlist.py)."""

    def __init__(self, cfg: DictConfig, allow: Sequence[str] | None = None) -> None:
        """Build what `cfg` describes.

        Args:
            allow: further targets, allowed in every place; None = `allow_targets` on the command
                line of this Hydra run.
        """
        self.cfg = cfg
        if allow is None:
            words = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None
            allow = allowed_targets(list(cfg.allow_targets), words)
        check_allowed(allow)
        self.allowed = list(allow)

    def check(self) -> None:
        """Check every node that can be built, before any of them is.

        Raises:
            ConfigError: for the first target that is not allowed.
        """
        for place in PLACES:
            node = self.node(place)
            if OmegaConf.is_list(node):
                for i, entry in enumerate(node):
                    self.approve(f"{place}[{i}]", entry)
            elif place in BY_NAME:
                for name, entry in (node or {}).items():
                    self.approve(f"{place}.{name}", entry)
            elif node is not None:
                self.approve(place, node)

    def approve(self, key: str, node: Any = None) -> tuple[dict[str, Any], list[str]]:
        """A checked node as plain values, and the allow-list for instantiating it.

        Raises:
            ConfigError: if one of its targets is not allowed.
        """
        return approve(key, plain(self.node(key) if node is None else node), self.allowed)

    def node(self, key: str) -> Any:
        """The node or value at a dotted key; None if there is none."""
        return OmegaConf.select(self.cfg, key)

    def build(self, key: str, node: Any = None, **arguments: Any) -> Any:
        """The object that the node at `key` describes.

        Args:
            key: dotted key, for messages and, without `node`, to find the node.
            node: the node itself, where it is not the one at `key`.
            arguments: given to the target besides the node's own.

        Raises:
            ConfigError: if the target is not allowed or refuses its arguments.
        """
        approved, names = self.approve(key, node)
        try:
            # Plain lists and dictionaries: torchvision refuses OmegaConf's, checkpoints store them.
            return instantiate(
                escape_interpolations(approved),
                **arguments,
                _convert_="all",
                _execution_whitelist_=[*names, *TrustedFiles.instance().targets],
            )
        except InstantiationException as error:
            cause = error.__cause__
            while cause is not None and not isinstance(cause, PochiError):
                cause = cause.__cause__
            if isinstance(cause, PochiError):
                raise cause from None
            raise ConfigError(explain(key, error)) from error
        except PochiError:
            raise
        except (TypeError, ValueError, OmegaConfBaseException) as error:
            raise ConfigError(f"{key} cannot be built: {first_line(error)}") from error

    def complete(self, key: str, *arguments: Any) -> Any:
        """The object that the partial node at `key` describes, with `arguments` added.

        Raises:
            ConfigError: as `build`.
        """
        return call_partial(key, self.build(key), *arguments)

    def build_data(self) -> Any:
        """What the target of group `data` returns; it does not get the loader settings."""
        node = {key: value for key, value in self.cfg.data.items() if key not in LOADER_FIELDS}
        return self.build("data", OmegaConf.create(node))

    def loader_settings(self) -> dict[str, Any]:
        """The loader settings of group `data`, or their defaults if a user's group lacks them."""
        settings = {field.name: field.default for field in fields(LoaderConfig)}
        settings["batch_size"] = self.cfg.batch_size
        return {key: self.cfg.data.get(key, value) for key, value in settings.items()}


def call_partial(key: str, partial: Any, *arguments: Any, **more: Any) -> Any:
    """The object that `partial`, built from the node at `key`, makes of what it lacked.

    Raises:
        ConfigError: as `Components.build`.
    """
    try:
        return partial(*arguments, **more)
    except InstantiationException as error:  # Hydra looks at partial objects when they are called
        raise ConfigError(explain(key, error)) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key} cannot be built: {first_line(error)}") from error


def explain(key: str, error: Exception) -> str:
    """The message for a node that cannot be instantiated."""
    cause, text = error.__cause__, str(error)
    target = text.split("'")[1] if "'" in text else "its _target_"
    if "cannot be authorized" in text or "cannot be selected" in text:
        return (
            f"{key} names {target!r}, which no config may run. Call it in a function of your own."
        )
    if "whitelist" in text:
        return (
            f"{key} names {target!r}, which a config may not run. If you trust it, allow it on the "
            f"command line: 'allow_targets=[{target}]'."
        )
    if cause is not None:
        return f"{key} cannot be built: {type(cause).__name__}: {first_line(cause)}"
    return f"{key} cannot be built: {first_line(error)}"


def plain(node: Any) -> Any:
    """`node` as plain values with interpolations resolved; other values unchanged."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
