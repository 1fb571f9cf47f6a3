"""Every command in the documentation works: it is run, or composed and checked as far as the work.

A renamed key, option or flag in a documented command fails here. Commands that train run for real
in README.md and the tutorials, for one epoch on a few tiny pictures; those that use a trained model
always do. All others are composed, and the config is checked as before a training.
"""

import argparse
import os
import re
import runpy
import shutil
import sys
import textwrap
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, commands_of, file_of, read_line
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from page import PAGES, ROOT, Block, blocks_of, prose_of
from PIL import Image

from pochitrain import Predictor
from pochitrain.cli import app
from pochitrain.cli.main import main
from pochitrain.config.ineffective_overrides import find_ineffective_overrides
from pochitrain.config.root import validate
from pochitrain.data import digits
from pochitrain.data.digits import read_digits

WITH_MODEL = ("infer", "explain", "compare", "report", "calibrate", "export", "serve")
USING = ("infer", "compare", "calibrate", "report")
"""Commands that are run where the files that they name are there."""
COMPOSED = ("train", "fit", "optimize", "data", "bench", "lr")
REAL = ("README.md", "docs/tutorial/")
"""Pages whose trainings are run."""
TOGETHER = re.compile(
    r"--multirun|-m|--cfg|--help|-sc|--hydra-help|--config.*|resume=outputs.*|strategy=probe.*|"
    r"model=(torchvision|timm)"
)
"""Words of a training that is only composed: it is no single run, takes long, or has no end."""
RUNS = (
    "20260101_001",
    "20260101_002",
    "20260101_003",
    "20260101_004",
    "20260401_003",
    "20261126_002",
)
"""Run directories that commands name."""
SMALL = ["model=torchvision", "model.name=shufflenet_v2_x0_5", "learning_rate=0.01"]
CLASSES = ("cat", "dog")


def write_pictures(
    root: Path, per_class: int, classes: Sequence[str] = CLASSES, side_px: int = 16
) -> Path:
    """Dark cats and bright dogs, which any model tells apart."""
    generator = np.random.default_rng(per_class)
    for level, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        brightness = 190 * level // (len(classes) - 1)
        for i in range(per_class):
            pixels = generator.integers(0, 60, (side_px, side_px, 3)) + brightness
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"patient{i:03d}.png")
    return root


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, photos_val and a run, calibrated, that was trained on them."""
    home = tmp_path_factory.mktemp("trained")
    write_pictures(home / "photos", 20)
    write_pictures(home / "photos_val", 150)
    for i, part in enumerate(("train", "val")):  # as scripts/prepare_digits.py does
        write_pictures(home / "digits" / part, 4 + i, [*"0123456789"], 32)
    before = Path.cwd()
    os.chdir(home)
    try:
        data = ["data=folder", "data.train_root=photos", "data.val_root=photos_val"]
        own = ["epochs=10", "batch_size=10", "transform.size=16", "report.html=false"]
        assert call(["train", *data, *SMALL, *own, "hydra.run.dir=run"]) == 0
        assert call(["calibrate", "run"]) == 0
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def place(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the documentation takes for granted."""
    for name in ("photos", "photos_val"):
        (tmp_path / name).symlink_to(trained / name)
    for name in ("held_out", "test_pictures", "DIR", "train", "val", "scans"):
        (tmp_path / name).symlink_to(trained / ("photos" if name == "train" else "photos_val"))
    (tmp_path / "data" / "emoji").mkdir(parents=True)
    for part, photos in (("train", "photos"), ("val", "photos_val")):
        (tmp_path / "data" / part).symlink_to(trained / "digits" / part)
        (tmp_path / "data" / "emoji" / part).symlink_to(trained / photos)
    for name in ("cat.jpg", "dog.jpg", "picture.jpg", "picture.png", "a.jpg"):
        Image.new("RGB", (16, 16), (20, 20, 20)).save(tmp_path / name)
    names = [f"photos_val/{name}/patient{i:03d}.png,{name}" for name in CLASSES for i in range(20)]
    rows = [f"{name},{('train', 'val')[i % 2]}" for i, name in enumerate(names)]
    table = "\n".join(["image,label,split", *rows])
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    for name in RUNS:
        shutil.copytree(trained / "run", tmp_path / "outputs" / name, copy_function=os.link)
    for name in ("F.py", "pochi_train_config.py", "configs/pochi_train_config.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "configs" / "pochi_train_config.py", tmp_path / name)
    own = tmp_path / "conf" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nepochs: 3\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def call(argv: list[str]) -> int:
    """`pochi ARGV` in this process; its exit code."""
    try:
        with warnings.catch_warnings():
            main(argv)
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        HydraConfig.instance().cfg = None
    return 0


def check(cfg: DictConfig) -> float:
    """What comes before a training: the checks of the config, and of overrides without effect."""
    node: Any = HydraConfig.get()
    validate(cfg)
    useless = find_ineffective_overrides(node.overrides.task, node.get("aliases") or {}, cfg)
    assert not useless
    return 1.0


def write_files(page: Path, place: Path) -> None:
    """Write the files that a page shows."""
    for block in blocks_of(page):
        name = file_of(block)
        if name is not None:
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def run_composed(command: Command, place: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Compose a training, or another command on the same config, and check the config."""
    words = with_own_options(command.words)
    launcher = [word for word in words if word.startswith(("hydra/launcher=", "hydra.launcher."))]
    if launcher:  # no test starts jobs on a cluster
        words = [word for word in words if word not in launcher]
        if code := call(["train", "--cfg", "job", *launcher]):
            return code
    searches = command.kind == "optimize" or any(word.startswith("optuna=") for word in words)
    if searches and not {"--help", "--cfg"} & set(words):
        if any(re.search(r"=.*(,|interval|range)", word) for word in command.words):
            words.append("optuna.n_trials=1")  # only a search takes ranges
        else:
            words = [*(word for word in words if word != "--multirun"), "--cfg", "job"]
    run_app = app.run_app
    with monkeypatch.context() as patch:
        patch.setattr(app, "train_task", check)
        patch.setattr(app, "after_folds", lambda jobs: None)
        patch.setattr(
            app, "run_app", lambda argv, prog, task=None: run_app(argv, prog, task and check)
        )
        return call([command.kind, *words])


def with_own_options(words: tuple[str, ...]) -> list[str]:
    """With the options in the folder conf: in a clone, that is the folder of all options."""
    named = any(word.startswith("--config-dir") for word in words)
    return [*words] if named else [*words, "--config-dir=conf"]


def tiny(words: tuple[str, ...]) -> list[str]:
    """The words of a training, with one epoch on small pictures and without a download."""
    on_digits = not any(word.startswith(("data=", "experiment=finetune")) for word in words)
    size = [] if on_digits else ["transform.size=16"]
    return [
        *with_own_options(words),
        "epochs=1",
        "model.pretrained=false",
        "report.html=false",
        *size,
    ]


def run_script(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse the flags of a script with its own parser, and stop there."""

    class ParsedError(Exception):
        pass

    parse = argparse.ArgumentParser.parse_known_args

    def parse_args(self: argparse.ArgumentParser, *args: Any) -> None:
        left = parse(self, *args)[1]
        assert not left, f"{command.line}: {left}"
        raise ParsedError

    def parse_known_args(self: argparse.ArgumentParser, *args: Any) -> None:
        parse(self, *args)
        raise ParsedError

    script = ROOT / command.words[0]
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_args)
        patch.setattr(sys, "argv", list(command.words))
        patch.syspath_prepend(str(script.parent))
        with pytest.raises(ParsedError):
            runpy.run_path(str(script), run_name="__main__")


def parse_flags(command: Command, monkeypatch: pytest.MonkeyPatch) -> int:
    """Parse the flags of a command that uses a model, and stop before the work."""
    name = command.kind
    name = f"{name}.{name}" if name in ("compare", "report") else name
    function = "compare_runs" if command.kind == "compare" else command.kind
    with monkeypatch.context() as patch:
        patch.setattr(f"pochitrain.run.{name}.{function}", lambda settings: None)
        return call([command.kind, *command.words])


def check_install(command: Command) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = {*project["project"]["optional-dependencies"], *project["dependency-groups"]}
    assert set(command.words) <= known, command.line


def is_real(command: Command, page: str) -> bool:
    """Whether a command is run as it stands, and not only composed."""
    if command.kind == "train":
        alone = not any(TOGETHER.fullmatch(word) for word in command.words)
        return page.startswith(REAL) and alone
    before = ["", *command.words]
    inputs = [
        word
        for word, flag in zip(command.words, before, strict=False)
        if not word.startswith("-") and (not flag.startswith("-") or flag in ("--data", "--root"))
    ]
    return command.kind in USING and all(Path(name).exists() for name in inputs)


def run_command(command: Command, page: str, place: Path, patch: pytest.MonkeyPatch) -> int:
    if command.kind == "install":
        check_install(command)
        return 0
    if command.kind == "script":
        run_script(command, patch)
        return 0
    if is_real(command, page):
        grey_levels, labels = read_digits()
        patch.setattr(digits, "read_digits", lambda: (grey_levels[:200], labels[:200]))
        words = tiny(command.words) if command.kind == "train" else list(command.words)
        return call([command.kind, *words])
    if command.kind == "migrate":
        return call(["migrate", *command.words, "--overwrite"])
    if command.kind in COMPOSED:
        return run_composed(command, place, patch)
    if command.kind in WITH_MODEL:
        return parse_flags(command, patch)
    return call([word for word in (command.kind, *command.words) if word])


def distinct(page: Path) -> Iterator[Command]:
    """The commands of a page that no page before it has."""
    earlier: set[tuple[str, tuple[str, ...]]] = set()
    for other in PAGES[: PAGES.index(page)]:
        earlier |= {(command.kind, command.words) for command in commands_of(other)}
    for command in commands_of(page):
        if (command.kind, command.words) not in earlier:
            earlier.add((command.kind, command.words))
            yield command


def rows_of_pages() -> Iterator[Any]:
    """The Japanese guide has the commands of the English pages."""
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        marks = [pytest.mark.long] if page.name == "guide.ja.md" else []
        yield pytest.param(page, id=name, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("page", list(rows_of_pages()))
def test_commands_of_a_page(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(page, place)
    for command in distinct(page):
        capsys.readouterr()
        code = run_command(command, page.relative_to(ROOT).as_posix(), place, monkeypatch)
        captured = capsys.readouterr()
        assert code == 0, f"{command.line}\n{captured.err or captured.out}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_stand_where_they_are_found(page: Path) -> None:
    """In blocks that say `bash`, not in blocks without a language or by indentation."""
    begins = r"^ *(pochi|python train\.py|python scripts/|uv run|pip install) "
    unmarked = [block.text for block in blocks_of(page) if block.language == ""]
    indented = re.findall(r"^ {4}.*$", prose_of(page), re.MULTILINE)
    for text in [*unmarked, *indented]:
        assert not re.search(begins, text, re.MULTILINE), text


def examples() -> list[tuple[Path, Block]]:
    """The Python in the documentation that is no file of its own."""
    return [
        (page, block)
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "python" and file_of(block) is None
    ]


@pytest.mark.parametrize(("page", "block"), examples(), ids=lambda x: getattr(x, "name", ""))
def test_python_runs(page: Path, block: Block, place: Path) -> None:
    names = {
        "Predictor": Predictor,
        "pil_picture": Image.new("RGB", (16, 16)),
        "array": np.zeros((16, 16, 3), np.uint8),
        "learning_rate": 0.001,
        "value": 0.5,
        "epoch": 1,
    }
    body = textwrap.indent(block.text, "    ")  # some blocks return, as part of a function
    exec(compile(f"def example():\n{body}\nexample()", page.name, "exec"), names)


REFUSED = [
    block.text
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "text" and block.text.startswith("$ ")
]


@pytest.mark.parametrize("text", REFUSED)
def test_refusals_read_as_shown(
    text: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, _, shown = text.partition("\n")
    (command,) = read_line(line)
    assert call([command.kind, *command.words]) == 2
    assert capsys.readouterr().err == shown


def test_a_wrong_command_is_noticed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the test above would say of a documented command that has gone stale."""
    for line in (
        "python train.py scheduler=steplr scheduler.step=3",
        "python train.py --multirun seed=1,2 epoch=3",
        "pochi fit photos --minute 5",
        "pochi infer outputs/20260101_003 --best 3",
        "pochi serve outputs/20260101_003 --hosts 0.0.0.0",
        "pochi optimize optuna=tpe",
    ):
        (command,) = read_line(line)
        assert run_command(command, "docs/use.md", place, monkeypatch) == 2, line
    (useless,) = read_line("python train.py early_stopping.patience=5")
    with pytest.raises(AssertionError, match="has no effect"):
        run_command(useless, "docs/use.md", place, monkeypatch)
    (script,) = read_line("python scripts/prepare_emoji.py --output data/emoji")
    with pytest.raises((AssertionError, SystemExit)):
        run_command(script, "docs/use.md", place, monkeypatch)
    with pytest.raises(AssertionError):
        check_install(next(read_line("pip install 'pochitrain[backbones]'")))
    with pytest.raises(ValueError, match="no test knows"):
        next(read_line("pochi trian epochs=3"))
