"""The private functions of Hydra, its plugins and Optuna that this package uses.

They may change with any release. The rest of the package calls them only through this module;
`tests/sweep/test_private_api.py` shows which of them a release has broken.
"""

import copy
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, replace
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import hydra._internal.core_plugins
import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper as BasicSweeper
from hydra._internal.override_aliases import OverrideAliases
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, flag_override

if TYPE_CHECKING:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.default_element import ResultDefault
    from hydra.core.override_parser.types import Override
    from hydra.core.utils import JobReturn
    from hydra.plugins.config_source import ConfigResult
    from hydra.types import HydraContext
    from optuna.distributions import BaseDistribution
    from optuna.samplers import GridSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""`_target_` of Hydra's launcher that runs jobs one by one in this process."""
LAUNCHER_LOGS = ("hydra._internal.core_plugins.basic_launcher", "hydra_plugins")
"""Loggers of launchers, which log every job."""

# --- Hydra ----------------------------------------------------------------------------------------


def job_result(returned: "JobReturn") -> Any:
    """What a job returned, or its exception, which `return_value` would raise."""
    return returned._return_value


def failed_job(overrides: Sequence[str], error: BaseException) -> "JobReturn":
    """The record of a job that did not return, for example because its process died."""
    from hydra.core.utils import JobReturn, JobStatus

    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)


def run_job_in_worker(
    index: int, overrides: Sequence[str], context: Any, config: Any, task: Any, singletons: Any
) -> "JobReturn":
    """Compose and run a job in a process without Hydra's state, as the joblib launcher does.

    Args:
        singletons: `Singleton.get_state()` of the process that started the sweep.
    """
    from hydra_plugins.hydra_joblib_launcher._core import execute_job

    returned: JobReturn = execute_job(
        index, overrides, context, config, task, 0, singletons, wrap_result=False
    )
    return returned


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
        config = OmegaConf.create()
        paths = {default.config_path for default in defaults}
        try:
            if len(paths) < len(defaults):  # a file that is used twice has to be copied
                raise ValueError(paths)
            with flag_override(config, "no_deepcopy_set_nodes", True):
                config.merge_with(
                    *(self._load_single_config(default, repo).config for default in defaults)
                )
        except Exception:  # Hydra's own way says in which file the mistake is
            repo.cache.clear()  # merging has taken over nodes of the files
            careful = ConfigLoaderImpl(self.config_search_path)
            return careful._compose_config_from_defaults_list(defaults, repo)
        strip_defaults(config)
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
    hydra._internal.hydra.ConfigLoaderImpl = QuickLoader  # type: ignore[attr-defined]


class RememberingLoader(QuickLoader):
    """Hydra's loader, which reads and merges the files of a choice of options only once.

    The jobs of a sweep differ in a few values, which Hydra sets in the merged config. A file that
    changes while the sweep runs changes nothing for its jobs.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        super().__init__(loader.config_search_path)
        self._active_repository = loader._active_repository
        self.repositories: dict[tuple[Any, ...], CachingConfigRepository] = {}
        """Configured search path -> files read, which are never changed."""
        self.composed: dict[tuple[Any, ...], DictConfig] = {}
        """Search path and list of files -> merged config, before overrides."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what is remembered: a launcher pickles the loader for every job."""
        return {**self.__dict__, "repositories": {}, "composed": {}}

    def _parse_overrides_and_create_caching_repo(
        self,
        config_name: str | None,
        overrides: list[str],
        parsed_overrides: "list[Override] | None" = None,
    ) -> "tuple[list[Override], CachingConfigRepository]":
        if parsed_overrides is None:
            parsed_overrides = self.parse_overrides(config_name, overrides)
        words = [item.input_line or "" for item in parsed_overrides]
        key = (config_name, *(word for word in words if "hydra.searchpath" in word))
        if key not in self.repositories:
            _, repository = super()._parse_overrides_and_create_caching_repo(
                config_name, overrides, parsed_overrides
            )
            self.repositories[key] = repository
        return parsed_overrides, self.repositories[key]

    def _compose_config_from_defaults_list(
        self, defaults: "list[ResultDefault]", repo: Any
    ) -> "DictConfig":
        places = [(source.provider, source.path) for source in repo.get_sources()]
        key = (*places, *map(astuple, defaults))
        if key not in self.composed:
            files = CopiedFiles(repo)  # merging takes over nodes of the files
            self.composed[key] = super()._compose_config_from_defaults_list(
                defaults,
                files,
            )
        return copy.deepcopy(self.composed[key])


class CopiedFiles:
    """The files of a repository, as copies."""

    def __init__(self, repository: CachingConfigRepository) -> None:
        self.repository = repository

    def __getattr__(self, name: str) -> Any:
        return getattr(self.repository, name)

    def load_config(self, config_path: str) -> Any:
        return copy.deepcopy(self.repository.load_config(config_path))


def remember_composition(context: "HydraContext") -> "HydraContext":
    """The context of a sweep, with a loader that composes quickly what it composed before."""
    loader: Any = context.config_loader
    if type(loader) not in (ConfigLoaderImpl, QuickLoader):
        return context
    return replace(context, config_loader=RememberingLoader(loader))


# --- the stock Optuna sweeper ---------------------------------------------------------------------


def parse_overrides(
    overrides: list[str],
) -> tuple[dict[str, "BaseDistribution"], dict[str, str], list[str]]:
    """(parameter -> distribution, key -> text of a fixed value, deletions) of overrides.

    Raises:
        ValueError, AssertionError, NotImplementedError: for a sweep that Optuna cannot search.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    distributions, fixed, deletions = create_params_from_overrides(overrides)
    return distributions, fixed, deletions


def grid_values(distribution: "BaseDistribution") -> list[Any]:
    """All values of a discrete distribution.

    Raises:
        ValueError: if it is continuous.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))


# --- Optuna ---------------------------------------------------------------------------------------


def attach_trial(study: "Study", number: int) -> "Trial | None":
    """The running trial `number`, created by another process; None if it has ended."""
    from optuna.trial import Trial, TrialState

    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if frozen.number == number:
            return Trial(study, frozen._trial_id)
    return None


def set_user_attribute(study: "Study", trial: "FrozenTrial", name: str, value: Any) -> None:
    """Set a user attribute of a trial, given its record instead of a `Trial`."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def grid_of(sampler: "GridSampler") -> tuple[Any, int]:
    """(search space, number of points) of a grid."""
    return sampler._search_space, len(sampler._all_grids)


def read_grid_point(trial: "FrozenTrial", space: Any) -> int | None:
    """The number of the point that a trial has in the grid over `space`; None in another grid."""
    point = trial.system_attrs.get("grid_id")
    same = point is not None and trial.system_attrs.get("search_space") == space
    return point if same else None


def write_grid_point(study: "Study", trial: "FrozenTrial", space: Any, point: int) -> None:
    """Assign point number `point` of the grid over `space` to a trial."""
    study._storage.set_trial_system_attr(trial._trial_id, "search_space", space)
    study._storage.set_trial_system_attr(trial._trial_id, "grid_id", point)


def has_fixed_parameters(trial: "FrozenTrial") -> bool:
    """Whether the parameters of a trial are already fixed (queued, or a point of a grid)."""
    return bool({"grid_id", "fixed_params"} & trial.system_attrs.keys())
