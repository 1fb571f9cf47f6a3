"""The run directory, and the files that describe the run."""

import functools
import json
import os
import platform
import shlex
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from pochitrain.atomic import write_text
from pochitrain.command import typed_command
from pochitrain.paths import make_run_directory, require_new_directory
from pochitrain.ranks import launch_id
from pochitrain.text import format_json

METADATA = "environment.json"
PACKAGES = (
    "pochitrain",
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "optuna",
    "pillow",
    "numpy",
)


def open_run_directory(cfg: DictConfig) -> Path:
    """Make the directory of this run.

    An explicit hydra.run.dir (in a sweep, hydra.sweep.dir and subdir) is used; otherwise it is the
    next free `<work_dir>/YYYYMMDD_NNN`. It becomes Hydra's output directory too, for
    ${hydra:runtime.output_dir} and --experimental-rerun.

    Raises:
        ConfigError: if it holds a run already, or `work_dir` cannot be written to.
        PochiError: if the explicit directory cannot be made.
    """
    parent, explicit = requested_directory(cfg)
    path = make_run_directory(parent) if explicit is None else require_new_directory(explicit)
    tell_hydra(path)
    if HydraConfig.initialized():
        save_hydra_files(cfg, HydraConfig.instance().cfg, path / ".hydra")
    return path


def tell_hydra(path: Path) -> None:
    """Set ${hydra:runtime.output_dir} to the run directory."""
    if HydraConfig.initialized():
        hydra_cfg: Any = HydraConfig.instance().cfg
        runtime = hydra_cfg.hydra.runtime
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = str(path.absolute())


def requested_directory(cfg: DictConfig) -> tuple[Path, Path | None]:
    """(parent of run directories, directory given to Hydra by the user or a sweeper).

    The second is None if the run directory will be the next free one in the parent.
    """
    if not HydraConfig.initialized():
        return Path(cfg.work_dir), None
    node = HydraConfig.get()
    if node.mode == RunMode.MULTIRUN:
        parent, subdir = Path(node.sweep.dir), Path(node.sweep.subdir)
        return parent, None if subdir == Path() else parent / subdir
    path = Path(node.run.dir)
    return Path(cfg.work_dir), None if path == Path() else path


def save_hydra_files(cfg: DictConfig, hydra_cfg: Any, folder: Path) -> None:
    """Write config.yaml, hydra.yaml and overrides.yaml, as Hydra does."""
    folder.mkdir(parents=True, exist_ok=True)
    only_hydra = OmegaConf.masked_copy(hydra_cfg, ["hydra"])
    write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg))
    write_text(folder / "hydra.yaml", OmegaConf.to_yaml(only_hydra))
    write_text(folder / "overrides.yaml", OmegaConf.to_yaml(hydra_cfg.hydra.overrides.task))


def collect_versions() -> dict[str, str]:
    """Package -> version, for Python and the packages on which results depend."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def git_state() -> dict[str, Any] | None:
    """Commit of the repository here, and whether files changed; None outside a repository.

    All runs of a process get the answer of the first: they run the code that it has imported.
    """
    return _git_state(os.getcwd())


@functools.cache
def _git_state(folder: str) -> dict[str, Any] | None:
    command = ["git", "status", "--porcelain=v2", "--branch"]
    try:
        asked = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = asked.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if not commit.isalnum():  # "(initial)": nothing is committed yet
        return None
    return {"commit": commit, "changed": any(not line.startswith("#") for line in lines)}


def save_config(folder: Path, cfg: DictConfig) -> None:
    """Write config.yaml, resolved."""
    write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))


def save_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write environment.json, to which a resumed run adds an entry.

    Args:
        metadata: further entries of environment.json.
    """
    program, arguments = typed_command()
    content = {
        "command": shlex.join([*program, *arguments]),
        "folder": os.getcwd(),
        "versions": collect_versions(),
        "git": git_state(),
        "platform": platform.platform(),
        **metadata,
    }
    if "TORCHELASTIC_RUN_ID" in os.environ:
        content["launch"] = launch_id()
    file = path / METADATA
    try:
        first = json.loads(file.read_text(encoding="utf-8"))
        content = {**first, "continued": [*first.get("continued", []), content]}
    except (OSError, ValueError):
        pass  # the first part of the run
    write_text(file, format_json(content))
