"""Hydra's loader of configs and its search for plugins, replaced by quicker ones.

The other half of `private_api.py`: they rest on private functions of Hydra, which may change with
any release; `tests/sweep/test_private_loader.py` compares what they compose with Hydra's own.
"""

import copy
import re
from collections import defaultdict
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import hydra._internal.core_plugins
import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.override_aliases import OverrideAliases
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, flag_override

from pochitrain.error import ConfigError
from pochitrain.sweep.password import hide_in_config

if TYPE_CHECKING:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.default_element import ResultDefault
    from hydra.core.override_parser.types import Override
    from hydra.plugins.config_source import ConfigResult


class QuickLoader(ConfigLoaderImpl):
    """Hydra's loader with the same results, in half the time.

    The primary config is read once instead of three times, plain aliases are not parsed as
    overrides, files are not copied into their package, and all parts are merged in one call:
    OmegaConf walks through the whole tree after each call.
    """

    def __init__(self, config_search_path: "ConfigSearchPath") -> None:
        super().__init__(config_search_path)
        self.repository: LastRead = LastRead(config_search_path)

    def get_override_aliases(self, config_name: str | None) -> OverrideAliases:
        loaded = None if config_name is None else self.repository.load_config(config_name)
        plain = {} if loaded is None else plain_aliases(loaded)
        return OverrideAliases(plain) if plain else super().get_override_aliases(config_name)

    def _parse_overrides_and_create_caching_repo(
        self,
        config_name: str | None,
        overrides: list[str],
        parsed_overrides: "list[Override] | None" = None,
    ) -> "tuple[list[Override], CachingConfigRepository]":
        if parsed_overrides is None:
            parsed_overrides = self.parse_overrides(config_name, overrides)
        repository = CachingConfigRepository(self.repository)
        repository.cache.update(self.repository.take())
        self._process_config_searchpath(config_name, parsed_overrides, repository)
        return parsed_overrides, repository

    def _compose_config_from_defaults_list(
        self, defaults: "list[ResultDefault]", repo: Any
    ) -> "DictConfig":
        paths = {default.config_path for default in defaults}
        try:
            if len(paths) < len(defaults):  # a file that is used twice has to be copied
                raise ValueError(paths)
            config = self.merge(OmegaConf.create(), defaults, repo)
        except Exception:  # Hydra's own way says in which file the mistake is
            repo.cache.clear()  # merging has taken over nodes of the files
            careful = ConfigLoaderImpl(self.config_search_path)
            config = careful._compose_config_from_defaults_list(defaults, repo)
        else:
            strip_defaults(config)
        refuse_overrides_of_file(config)
        hide_in_config(config)
        return config

    def merge(
        self, config: "DictConfig", defaults: "list[ResultDefault]", repo: Any
    ) -> "DictConfig":
        """`config` with the files `defaults` merged into it."""
        with flag_override(config, "no_deepcopy_set_nodes", True):
            config.merge_with(
                *(self._load_single_config(default, repo).config for default in defaults)
            )
        return config

    @staticmethod
    def _embed_result_config(ret: "ConfigResult", package_override: str | None) -> "ConfigResult":
        package = ret.header["package"] if package_override is None else package_override
        if not package:
            return ret
        config = OmegaConf.create()
        with flag_override(config, "no_deepcopy_set_nodes", True):
            OmegaConf.update(config, package, ret.config, merge=False)
        embedded = copy.copy(ret)
        embedded.config = config
        return embedded


def refuse_overrides_of_file(config: "DictConfig") -> None:
    """Refuse a file that claims to be the command line, on which more is allowed than in files.

    Args:
        config: of files alone. Hydra adds what was typed to `hydra.overrides` later.

    Raises:
        ConfigError: if something is there already.
    """
    node = config.get("hydra")
    claimed: Any = OmegaConf.to_container(node.overrides) if node is not None else {}
    for name, words in claimed.items():
        if words:
            raise ConfigError(
                f"hydra.overrides.{name} must be empty in config files, got {words!r}: it is "
                "Hydra's record of what was typed."
            )


class LastRead(ConfigRepository):
    """A repository that keeps what it has read until that is taken."""

    def __init__(self, config_search_path: "ConfigSearchPath") -> None:
        super().__init__(config_search_path)
        self.read: dict[str, ConfigResult | None] = {}

    def load_config(self, config_path: str) -> "ConfigResult | None":
        if config_path not in self.read:
            self.read[config_path] = super().load_config(config_path)
        return self.read[config_path]

    def take(self) -> "dict[str, ConfigResult | None]":
        """What was read since the last call, by the keys of `CachingConfigRepository.cache`."""
        read, self.read = self.read, {}
        return {f"config_path={path}": result for path, result in read.items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> ConfigRepository:
        """A plain repository with the same sources."""
        plain = ConfigRepository.__new__(ConfigRepository)
        fields = {name: value for name, value in self.__dict__.items() if name != "read"}
        plain.__dict__.update(copy.deepcopy(fields, memo))
        return plain


def plain_aliases(primary: "ConfigResult") -> dict[str, str]:
    """hydra.aliases of the primary config; {} where Hydra must look at them more closely."""
    tree: Any = OmegaConf.to_container(primary.config, resolve=False)
    node = tree.get("hydra") if isinstance(tree, dict) and not primary.header["package"] else None
    aliases = node.get("aliases") if isinstance(node, dict) else None
    if not isinstance(aliases, dict):
        return {}
    words = [*aliases, *aliases.values()]
    return aliases if all(PLAIN_KEY.fullmatch(str(word)) for word in words) else {}


PLAIN_KEY = re.compile(r"[a-z]\w*(\.[a-z]\w*)*", re.ASCII | re.IGNORECASE)
"""A dotted key without an operator or a value."""


def strip_defaults(node: Any) -> None:
    """Remove the lists of defaults of schemas below `node`, as Hydra does after merging."""
    if not isinstance(node, DictConfig) or node._is_missing() or node._is_none():
        return
    if node._get_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS"):
        with flag_override(node, ["readonly", "struct"], False):
            node._set_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS", None)
            node.pop("defaults", None)
    for _, value in node.items_ex(resolve=False):
        strip_defaults(value)


def register_plugins(every: bool) -> bool:
    """Make plugins known to Hydra: its own, and with `every` also those that are installed.

    A single run needs no other launcher or sweeper. Plugins that this package does not know are
    always looked at, since they may add places of configs.

    Returns:
        Whether there are now more of them than before.
    """
    known = Singleton._instances.get(Plugins)
    if known is not None and not (every and isinstance(known, OwnPlugins)):
        return False
    instances: dict[type, Any] = Singleton._instances
    instances.pop(Plugins, None)  # or calling the class returns it
    if every or has_other_plugins():
        Plugins.instance()
    else:
        OwnPlugins()
        instances[Plugins] = instances.pop(OwnPlugins)
    return True


class OwnPlugins(Plugins):
    """Hydra's own plugins."""

    def _initialize(self) -> None:
        self.plugin_type_to_subclass_list = defaultdict(list)
        found, self.stats = self._scan_all_plugins([hydra._internal.core_plugins])
        for plugin in found:
            self._register(plugin)


LAUNCHERS_AND_SWEEPERS = (
    "hydra_joblib_launcher",
    "hydra_optuna_sweeper",
    "hydra_submitit_launcher",
)
"""Packages below hydra_plugins that have nothing else."""


def has_other_plugins() -> bool:
    """Whether other plugins are installed than ours and `LAUNCHERS_AND_SWEEPERS`."""
    import hydra_plugins

    packages = {module.name for module in iter_modules(hydra_plugins.__path__)}
    for entry in entry_points(group="hydra.plugins"):
        packages.add(entry.module.removeprefix("hydra_plugins.").partition(".")[0])
    return not packages <= {*LAUNCHERS_AND_SWEEPERS, "pochitrain"}


def compose_quickly() -> None:
    """Let Hydra compose with `QuickLoader`."""
    # Where Hydra takes its loader from; the module does not list the name as its own.
    hydra._internal.hydra.ConfigLoaderImpl = QuickLoader  # type: ignore[attr-defined]
