"""The wheel and the source distribution: what is in them, and that an installed wheel works."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from pochitrain.paths import PACKAGE, config_directory

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
OURS = ("pochitrain", "_editable_impl_pochitrain", "__editable__")
"""Beginnings of what an editable installation leaves beside other packages."""


def run(*words: str | Path, cwd: Path) -> str:
    """Output of a program that must end well. It sees no Python paths of this process."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source distribution, and a wheel."""
    folder = tmp_path_factory.mktemp("dist")
    words = ["hatchling", "build", "--target", "sdist", "--target", "wheel", "--directory"]
    run(sys.executable, "-m", *words, folder, cwd=ROOT)
    return folder


def test_contents(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        f"pochitrain/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    conf = config_directory()
    options = {f"pochitrain/conf/{path.relative_to(conf)}" for path in conf.rglob("*.yaml")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == package | options
    assert "pochitrain/py.typed" in names
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as tar:
        kept = {Path(*Path(name).parts[1:]).as_posix() for name in tar.getnames()}
    assert {"train.py", "README.md", "CHANGELOG.md", "LICENSE", "conf/config.yaml"} <= kept
    assert not any(name.startswith(("tests/", "outputs/", ".venv/")) for name in kept)


@pytest.fixture(scope="module")
def pochi_of_wheel(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a wheel installed into an environment of its own.

    The packages that it needs are those of this environment, without the clone that is installed
    there, so that torch need not be downloaded.
    """
    home = tmp_path_factory.mktemp("clean")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    words = ["--offline", "--no-deps", "--python", python]
    run("uv", "pip", "install", *words, wheel, cwd=home)
    others = home / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS):
            (others / entry.name).symlink_to(entry)
    here = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    (Path(here.strip()) / "others.pth").write_text(f"{others}\n", encoding="utf-8")
    return home / "venv" / "bin" / "pochi"


def test_an_installed_wheel_works(pochi_of_wheel: Path, tmp_path: Path) -> None:
    """In an empty folder: no clone, no data, no config."""
    python = pochi_of_wheel.parent / "python"
    where = "import pochitrain, pathlib; print(pathlib.Path(pochitrain.__file__).parents[4])"
    assert run(python, "-c", where, cwd=tmp_path).strip() == str(pochi_of_wheel.parents[1])
    assert run(pochi_of_wheel, "--version", cwd=tmp_path).startswith("pochitrain ")
    assert "name: resnet18" in run(pochi_of_wheel, "train", "--cfg", "job", cwd=tmp_path)
    assert "steplr" in run(pochi_of_wheel, "train", "--help", cwd=tmp_path)
    words = ["epochs=1", "data.image_size=8", "metrics.export=false", "hydra.run.dir=run"]
    printed = run(pochi_of_wheel, "train", *words, cwd=tmp_path)
    assert "run       run" in printed
    printed = run(pochi_of_wheel, "infer", "run", cwd=tmp_path)
    assert (tmp_path / "run" / "inference" / "inference_summary.json").is_file(), printed
    code = (
        "from importlib.metadata import entry_points\n"
        "print(*(entry.load().__name__ for entry in entry_points(group='hydra.plugins')))"
    )
    assert "PochiSweeper" in run(python, "-c", code, cwd=tmp_path)


def test_requirements_are_those_of_the_project(built: Path) -> None:
    """A wheel that asked for less would install, and fail at the first import."""
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    metadata = archive.read(name).decode()
    for needed in ("torch>=", "hydra-core<1.5,>=1.4.0rc3", "optuna<6,>=5.0"):
        assert f"Requires-Dist: {needed}" in metadata
    assert f"Requires-Python: >={sys.version_info.major}.{11}" in metadata
