"""Imports go downwards only, and nothing heavy is imported where the command line must be quick."""

import ast
import graphlib
from pathlib import Path

import pytest

import pochitrain

PACKAGE = Path(pochitrain.__file__).parent
LAYERS = (
    ("__init__", "error", "manner", "ranks", "text"),
    ("metric", "command", "console", "paths", "seed", "atomic", "threads"),
    ("config",),
    ("data", "transform", "model", "optimizer", "scheduler", "loss"),
    ("engine", "check"),
    ("callback", "inference", "export", "report", "strategy", "sweep", "legacy"),
    ("serve", "search"),
    ("run",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ALSO = {
    ("data", "transform"),  # a data set may use the transforms
    ("callback", "sweep"),  # a run reports to the trial that it is
    ("__init__", "inference"),  # `from pochitrain import Predictor`, loaded when asked for
}
"""Imports that are no way down, and why."""
HEAVY = {
    "torch",
    "torchvision",
    "matplotlib",
    "optuna",
    "sklearn",
    "pandas",
    "plotly",
    "scipy",
    "ray",
}
LIGHT = (
    "config/",
    "metric/",
    "cli/",
    "sweep/plugin.py",
    "sweep/ray_launcher.py",
    "search/grid.py",
    "error.py",
    "command.py",
    "manner.py",
    "paths.py",
    "ranks.py",
    "__init__.py",
    "run/resume/config.py",
)

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def own_imports(tree: ast.Module) -> set[str]:
    """Modules below pochitrain that are imported anywhere in a file, without the first part."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.partition(".")[2] for name in names if name.startswith("pochitrain.")}


def imported_at_start(body: list[ast.stmt]) -> set[str]:
    """Top-level names of the packages imported when the module is (not inside functions)."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                found |= imported_at_start(node.body) | imported_at_start(node.orelse)
        elif isinstance(node, (ast.Try, ast.ClassDef)):
            found |= imported_at_start(node.body)
    return found


def layer(name: str) -> str:
    return name.partition("/")[0].removesuffix(".py").partition(".")[0]


@pytest.mark.parametrize("file", FILES)
def test_imports_go_downwards(file: str) -> None:
    own = layer(file)
    assert own in RANK, f"give {own} a layer in {Path(__file__).name}"
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    for name in own_imports(tree):
        other = layer(name)
        if other == "__version__":
            continue
        down = RANK[other] < RANK[own] or other == own or (own, other) in ALSO
        assert down, f"pochitrain/{file} imports pochitrain.{name}"


def test_every_layer_exists() -> None:
    there = {layer(file) for file in FILES}
    assert RANK.keys() <= there
    assert {name for pair in ALSO for name in pair} <= there


def imported_files(file: str) -> set[str]:
    """Files of the package that `file` imports anywhere: in functions and for type checkers too."""
    names = own_imports(ast.parse((PACKAGE / file).read_text(encoding="utf-8")))
    paths = {name.replace(".", "/") for name in names}
    candidates = {f"{path}.py" for path in paths}
    candidates |= {f"{path.rpartition('/')[0]}.py" for path in paths}
    return candidates & set(FILES)


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Files that import each other in a circle; empty where there is none."""
    sorter = graphlib.TopologicalSorter(graph)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_circles_inside_a_folder() -> None:
    """Also none through functions or annotations: two files that need each other are one."""
    graph = {
        file: {other for other in imported_files(file) if layer(other) == layer(file)} - {file}
        for file in FILES
    }
    assert not find_circle(graph)
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


@pytest.mark.parametrize("file", [name for name in FILES if name.startswith(LIGHT)])
def test_nothing_heavy_at_module_level(file: str) -> None:
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    assert not imported_at_start(tree.body) & HEAVY


def test_only_one_module_goes_backward() -> None:
    found = [
        name
        for name in FILES
        if any(
            isinstance(node, ast.Attribute) and node.attr == "backward"
            for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))
        )
    ]
    assert found == ["engine/microbatch.py"]


@pytest.mark.parametrize("file", FILES)
def test_names_and_sizes(file: str) -> None:
    banned = {"utils", "helpers", "common", "misc", "manager"}
    assert not banned & {part.removesuffix(".py") for part in Path(file).parts}
    assert len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) <= 400
