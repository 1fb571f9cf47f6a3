"""Hydra's loader of the jobs of a sweep, replaced by one that remembers.

Like `private_loader.py` it rests on private functions of Hydra; `tests/sweep/test_private_job.py`
compares what it composes with what Hydra does.
"""

import copy
import pickle
from dataclasses import astuple, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from pochitrain.sweep.private_loader import QuickLoader

if TYPE_CHECKING:
    from hydra.core.default_element import ResultDefault
    from hydra.core.override_parser.types import Override
    from hydra.plugins.config_source import ConfigResult
    from hydra.types import HydraContext


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
        self.parts: dict[tuple[Any, ...], Copies] = {}
        """Search path and an entry of a list of files -> that file in its package."""
        self.composed: dict[tuple[Any, ...], Copies | Exception] = {}
        """Search path and list of files -> merged config, before overrides; or its mistake."""
        self.merged: dict[tuple[Any, ...], Copies] = {}
        """Search path and the beginning of a list of files -> these, merged."""
        self.last: tuple[Any, ...] = ()
        """The list of files that was merged last."""
        self.jobs: dict[tuple[str, ...], tuple[Copies, DictConfig]] = {}
        """Words that choose options -> (the tree that these give, its `hydra` node)."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what is remembered: a launcher pickles the loader for every job."""
        remembered = ("repositories", "parts", "composed", "merged", "jobs")
        return {**self.__dict__, "last": (), **{name: {} for name in remembered}}

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

    def _load_single_config(self, default: "ResultDefault", repo: Any) -> "ConfigResult":
        key = (*places(repo), astuple(default))
        if key not in self.parts:
            self.parts[key] = Copies(super()._load_single_config(default, repo))
        part: ConfigResult = self.parts[key].take()
        return part

    def _compose_config_from_defaults_list(
        self, defaults: "list[ResultDefault]", repo: Any
    ) -> "DictConfig":
        key = (*places(repo), *map(astuple, defaults))
        if key not in self.composed:
            files = CopiedFiles(repo)  # merging takes over nodes of the files
            try:
                config = super()._compose_config_from_defaults_list(defaults, files)
            except Exception as error:
                self.composed[key] = error
                raise
            self.composed[key] = Copies(config)
        found = self.composed[key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        composed: DictConfig = found.take()
        return composed

    def merge(
        self, config: "DictConfig", defaults: "list[ResultDefault]", repo: Any
    ) -> "DictConfig":
        """`config` with the files `defaults` merged into it.

        Neighbours in a sweep begin with the same files, whose merger is remembered.
        """
        key = tuple(map(astuple, defaults))
        shared = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(key, self.last, strict=False))
        )
        self.last = key
        beginning = (*places(repo), *key[:shared])
        if 0 < shared < len(key):
            if beginning not in self.merged:
                self.merged[beginning] = Copies(super().merge(config, defaults[:shared], repo))
            config = self.merged[beginning].take()
        else:
            shared = 0
        return super().merge(config, defaults[shared:], repo)

    def load_job(
        self, master: "DictConfig", overrides: list[str]
    ) -> "tuple[DictConfig, DictConfig]":
        """See the function `load_job`."""
        parsed, repository = self._parse_overrides_and_create_caching_repo(
            master.hydra.job.config_name,
            overrides,
            OverridesParser.create().parse_overrides(overrides),
        )
        values = [item for item in parsed if is_value(item, repository)]
        others = [item for item in parsed if item not in values]
        if not all(item.is_hydra_override() or is_choice(item, repository) for item in others):
            values, others = [], parsed  # the order may matter
        words = [item.input_line or "" for item in others]
        key = tuple(words)
        if key not in self.jobs:
            job = self.load_sweep_config(master, words)
            node = take_hydra(job)
            self.jobs[key] = Copies(job), node
        tree, node = self.jobs[key]
        job = tree.take()
        self._apply_overrides_to_config(values, job)
        return job, node


def load_job(
    loader: Any, master: "DictConfig", overrides: list[str]
) -> "tuple[DictConfig, DictConfig]":
    """(the config of a job without its `hydra` node, that node) as `load_sweep_config` gives them.

    Quick with a `RememberingLoader` where only values differ from an earlier job. The second must
    not be changed, and its overrides lack the values of this job.
    """
    if isinstance(loader, RememberingLoader):
        return loader.load_job(master, overrides)
    job = loader.load_sweep_config(master, overrides)
    return job, take_hydra(job)


def take_hydra(job: "DictConfig") -> "DictConfig":
    """Remove the `hydra` node of a job, and return what it says of its overrides and environment.

    The rest of the tree would live as long as that.
    """
    node = job.hydra
    kept = {
        "overrides": {"hydra": OmegaConf.to_container(node.overrides.hydra)},
        "job": {"env_set": OmegaConf.to_container(node.job.env_set)},
    }
    with read_write(job), open_dict(job):
        del job["hydra"]
    return OmegaConf.create(kept)


def is_value(override: "Override", repository: CachingConfigRepository) -> bool:
    """Whether an override changes a value of the merged config, and nothing else."""
    return (
        override.type == OverrideType.CHANGE
        and override.package is None
        and not override.is_hydra_override()
        and not repository.group_exists(override.key_or_group)
        and not repository.config_exists(override.key_or_group)
    )


def is_choice(override: "Override", repository: CachingConfigRepository) -> bool:
    """Whether an override chooses an option of a group."""
    return repository.group_exists(override.key_or_group) and isinstance(override.value(), str)


class Copies:
    """Copies of an object: of its pickle, which takes a fifth of the time of `copy.deepcopy`."""

    def __init__(self, original: Any) -> None:
        self.original = original
        """If it cannot be pickled, such as a schema that somebody's function has defined."""
        try:
            self.pickled: bytes | None = pickle.dumps(original, pickle.HIGHEST_PROTOCOL)
            self.original = None
        except (pickle.PicklingError, AttributeError, TypeError):
            self.pickled = None

    def take(self) -> Any:
        if self.pickled is None:
            return copy.deepcopy(self.original)
        return pickle.loads(self.pickled)


class CopiedFiles:
    """The files of a repository, as copies."""

    def __init__(self, repository: CachingConfigRepository) -> None:
        self.repository = repository

    def __getattr__(self, name: str) -> Any:
        return getattr(self.repository, name)

    def load_config(self, config_path: str) -> Any:
        return copy.deepcopy(self.repository.load_config(config_path))


def places(repository: Any) -> list[tuple[str, str]]:
    """Where a repository looks for files."""
    return [(source.provider, source.path) for source in repository.get_sources()]


def remember_composition(context: "HydraContext") -> "HydraContext":
    """The context of a sweep, with a loader that composes quickly what it composed before."""
    loader: Any = context.config_loader
    if type(loader) not in (ConfigLoaderImpl, QuickLoader):
        return context
    return replace(context, config_loader=RememberingLoader(loader))
