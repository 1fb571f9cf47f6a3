"""Executes a Python config and collects its values.

A Python config is code: it runs with all rights of the user who starts the command. So only the
file given with `--config` on this command line is executed (cli/config_file.py). A run directory
has its composed config, and commands that start from a run do not read the file again.

Which names of a file are settings:
- A name of the table in option.py is a setting, however it got its value.
- Any other name is a helper, and accepted, if it starts with an underscore, is a module, function
  or class, was imported, is the variable of a loop or `with`, or is read somewhere in the file.
- A name that is assigned but never used is most likely a misspelt setting, and an error. So is a
  helper whose name is nearly that of a setting.
"""

import ast
import contextlib
import importlib.util
import os
import sys
import traceback
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pochitrain.error import ConfigError, require
from pochitrain.legacy.capture import Recorder
from pochitrain.legacy.option import FLAT_OPTUNA, OPTIONS
from pochitrain.text import did_you_mean


@dataclass
class PythonConfig:
    """An executed file."""

    path: str
    """Absolute."""
    shown: str
    """The path as given, for messages."""
    names: dict[str, Any]
    """Every global name of the module."""
    settings: dict[str, Any]
    """Those of `names` that are settings."""
    helpers: list[str] = field(default_factory=list)
    """Variables that are not settings."""
    used: set[str] = field(default_factory=set)
    """Names that the file itself reads."""
    recorder: Recorder = field(default_factory=Recorder)


def read_python_config(path: str | Path, argument: str = "--config") -> PythonConfig:
    """Execute `path`.

    Args:
        argument: the flag or argument that gave the path, for messages.

    Raises:
        ConfigError: no such file, an error in it (with its line), or an unknown setting.
    """
    shown = str(path)
    source = read_source(path, argument)
    tree = parse(source, shown)
    recorder = Recorder()
    names = execute(Path(path).resolve(), shown, source, recorder, needs_torch(tree))
    settings = {name: names[name] for name in OPTIONS if name in names}
    config = PythonConfig(str(Path(path).resolve()), shown, names, settings, recorder=recorder)
    sort_names(config, tree)
    return config


def read_literals(path: str | Path) -> PythonConfig:
    """The settings of a file that are plain literals, without executing it.

    Raises:
        ConfigError: if it is not a Python file.
    """
    names = {}
    for node in parse(read_source(path), str(path)).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                names[node.targets[0].id] = ast.literal_eval(node.value)
    settings = {name: names[name] for name in OPTIONS if name in names}
    return PythonConfig(str(Path(path).resolve()), str(path), names, settings)


def read_source(path: str | Path, argument: str = "--config") -> str:
    """The text of a Python file.

    Raises:
        ConfigError: if it cannot be read, or is not a Python file.
    """
    path = Path(path)
    if path.suffix in (".yaml", ".yml"):
        raise ConfigError(
            f"{argument} must be a Python file, got {str(path)!r}. A YAML file in "
            f"conf/experiment is chosen with experiment={path.stem}."
        )
    try:
        with open(path, "rb") as file:
            content = file.read()
        require(path.suffix == ".py", argument, "a Python file (NAME.py)", str(path))
        return importlib.util.decode_source(content)
    except OSError as error:
        raise ConfigError(
            f"{argument} must be a Python file that can be read, got {str(path)!r} "
            f"({error.strerror}). It is looked up from {os.getcwd()!r}."
        ) from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{argument} must be a text file in UTF-8, got {str(path)!r} ({error}). Save it as "
            "UTF-8, or name its encoding in the first line: # coding: cp932"
        ) from None


def parse(source: str, shown: str) -> ast.Module:
    """Parse the text of a file; `shown` is its path for messages.

    Raises:
        ConfigError: for a syntax error, with its line.
    """
    try:
        return ast.parse(source, shown)
    except SyntaxError as error:
        line = f"\n    {error.text.strip()}" if error.text else ""
        where = f"{shown}, line {error.lineno}" if error.lineno else shown  # null bytes: no line
        raise ConfigError(f"{where}: {type(error).__name__}: {error.msg}{line}") from None
    except ValueError as error:  # null bytes, before Python 3.11.4
        raise ConfigError(f"{shown}: {error}") from None


def needs_torch(tree: ast.Module) -> bool:
    """Whether the file imports anything beyond the standard library, and so perhaps transforms."""
    modules: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module or ".")
    return any(name.partition(".")[0] not in sys.stdlib_module_names for name in modules)


def execute(
    path: Path, shown: str, source: str, recorder: Recorder, with_torch: bool
) -> dict[str, Any]:
    """Run the file as a module, with its output on stderr, and return its global names.

    Raises:
        ConfigError: with the line of the file that failed, and its error.
    """
    spec = importlib.util.spec_from_file_location(module_name(path), path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # needed by dataclasses and pickle
    try:
        code = compile(source, str(path), "exec")
        recording = recorder.recording() if with_torch else contextlib.nullcontext()
        with contextlib.redirect_stdout(sys.stderr), recording:
            exec(code, vars(module))
    except (Exception, SystemExit) as error:
        raise ConfigError(explain(error, path, shown)) from None
    return vars(module)


def module_name(path: Path) -> str:
    return f"pochi_python_config_{path.stem}"


def explain(error: BaseException, path: Path, shown: str) -> str:
    """The message for an error in the user's file: the line and the error."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"{shown}, line {frames[-1].lineno}" if frames else shown
    line = f"\n    {frames[-1].line}" if frames and frames[-1].line else ""
    text = f"{where}: {type(error).__name__}: {error}{line}"
    if isinstance(error, NameError) and error.name in ("transforms", "v2", "T"):
        text += "\nImport it at the top of the file: import torchvision.transforms as transforms"
    return text


def sort_names(config: PythonConfig, tree: ast.Module) -> None:
    """Find the helpers among the names that the file assigns.

    Raises:
        ConfigError: for a name that is neither a setting nor a helper.
    """
    used = config.used = set(list_names(ast.walk(tree), ast.Load))
    search = config.settings.get("optuna")
    searched = search if isinstance(search, dict) else {}
    for name in dict.fromkeys(list_assigned(tree)):
        value = config.names.get(name)
        known = name in OPTIONS or name not in config.names
        if known or name.startswith("_") or is_code(value):
            continue
        if name in FLAT_OPTUNA:
            if name not in used or name not in searched:
                continue  # translate.py refuses them all at once, with the nested form
        elif name not in used or looks_misspelt(name, config.settings):
            raise ConfigError(unknown(name, config))
        config.helpers.append(name)


def list_assigned(tree: ast.AST) -> Iterable[str]:
    """The names assigned at the top level, without the variables of loops and `with`."""
    for node in walk_top_level(tree):
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
            targets = [node.target]
        else:
            continue
        for target in targets:
            yield from list_names(ast.walk(target), ast.Store)


def list_names(nodes: Iterable[ast.AST], use: type[ast.expr_context]) -> list[str]:
    """The names that `nodes` read (ast.Load) or assign (ast.Store)."""
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, use)]


def walk_top_level(tree: ast.AST) -> Iterable[ast.AST]:
    """All nodes outside functions, classes and comprehensions, which have their own scopes."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    inner += (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)  # type: ignore[assignment]
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, inner):
            yield child
            yield from walk_top_level(child)


def is_code(value: Any) -> bool:
    """Whether `value` is a module, a function or a class."""
    functions = (types.FunctionType, types.BuiltinFunctionType)
    return isinstance(value, (types.ModuleType, type, *functions))


def looks_misspelt(name: str, settings: Iterable[str]) -> bool:
    """Whether a name is nearly that of a setting that the file does not have."""
    missing = [option for option in OPTIONS if option not in settings]
    return bool(did_you_mean(name, missing, cutoff=0.9))


def unknown(name: str, config: PythonConfig) -> str:
    """The message for a name that is neither a setting nor a helper."""
    hint = did_you_mean(name.lower(), OPTIONS) or f" Settings: {', '.join(OPTIONS)}."
    return (
        f"{name} in {config.shown} is not a setting.{hint} "
        f"If it is a helper of your own, call it _{name}."
    )
