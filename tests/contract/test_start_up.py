"""Composing is quick: a fresh interpreter shows the config without importing anything heavy."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

HEAVY = "torch torchvision matplotlib optuna sklearn pandas plotly scipy PIL"


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """`pochi ARGV` in a fresh interpreter, which says at its end what it has imported."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('imported:', *sorted(set('{HEAVY}'.split())"
        " & set(sys.modules)), file=sys.stderr))\n"
        "from pochitrain.cli.main import main\n"
        f"main({list(argv)!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "--cfg", "job"),
        ("train", "--help"),
        ("train", "experiment=fast", "--cfg", "job", "--resolve"),
        ("--help",),
        ("--version",),
    ],
    ids=" ".join,
)
def test_shows_without_heavy_imports(argv: tuple[str, ...]) -> None:
    result = run(*argv)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert result.stderr == "imported:\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "epochs=0"),
        ("train", "scheduler=nosuch"),
        ("train", "data.seed=${nope}"),
        ("train", "device=tpu"),
        ("train", "optimizer._target_=os.system"),
        ("train", "--multirun", "seed=1,2,3", "epochs=3,0"),
    ],
    ids=" ".join,
)
def test_mistakes_are_found_without_heavy_imports(argv: tuple[str, ...]) -> None:
    result = run(*argv)
    message, last = result.stderr.splitlines()
    assert result.returncode == 2
    assert message
    assert last == "imported:"
    assert result.stdout == ""


def test_a_launcher_chosen_by_a_file_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    text = "# @package _global_\ndefaults: [{override /hydra/launcher: joblib}]\n"
    (folder / "mine.yaml").write_text(text)
    result = run("train", f"--config-dir={tmp_path}", "experiment=mine", "--cfg", "hydra")
    assert result.returncode == 0, result.stderr
    assert "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher" in result.stdout


def test_a_traceback_shows_only_one_of_two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    result = run("train", "optimizer=nosuch")
    assert result.stderr.count("In 'config': Could not find 'optimizer/nosuch'") == 1


MAX_RATIO = 2.4
"""CPU time of `--cfg job` to that of `import hydra`; docs/performance.md has the measured value."""


def cpu_s(*arguments: str, cwd: Path) -> float:
    """CPU seconds of a fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Whether bytecode is kept is no part of the question: without, imports would be all there is.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cwd / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, cwd=cwd, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_showing_the_config_costs_little_more_than_importing_hydra(tmp_path: Path) -> None:
    ours = "from pochitrain.cli.main import main; main(['train', '--cfg', 'job'])"
    sides = [[cpu_s("-c", code, cwd=tmp_path) for code in ("import hydra", ours)] for _ in range(4)]
    assert median(after / before for before, after in sides[1:]) < MAX_RATIO


def test_first_training_step_is_reached_without_what_only_reports_need(tmp_path: Path) -> None:
    heavy = HEAVY.replace("torchvision", "").replace("torch", "").replace("PIL", "")
    code = (
        "import os, sys\n"
        "from torch.optim.optimizer import register_optimizer_step_post_hook as hook\n"
        "def stop(*_):\n"
        f"    print('imported:', *sorted(set('{heavy}'.split()) & set(sys.modules)), flush=True)\n"
        "    os._exit(0)\n"
        "hook(stop)\n"
        "from pochitrain.cli.main import main\n"
        f"main(['train', 'device=cpu', 'data.num_workers=0', 'work_dir={tmp_path}'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "imported:", done.stderr
