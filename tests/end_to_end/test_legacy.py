"""`train.py --config F` and `train.py experiment=<migrated F>` are the same run, and what a person
does with an old file: override it, sweep it, complete it, and never have it executed unasked."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig

from pochitrain.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]

BASE = """
from torchvision import transforms
from torchvision.transforms import v2
train_data_root = "data/train"
val_data_root = "data/val"
model_name = "shufflenet_v2_x0_5"
device = "cpu"
batch_size = 4
num_workers = 0
epochs = 1
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
train_transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
val_transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
"""

FILES = {
    "fast": """
        optimizer = "SGD"
        learning_rate = 0.01
        epochs = 2
        scheduler = "StepLR"
        scheduler_params = {"step_size": 1, "gamma": 0.1}
        """,
    "milestones": """
        epochs = 2
        scheduler = "MultiStepLR"
        scheduler_params = {"milestones": [1, 2], "gamma": 0.5}
        train_transform = transforms.Compose([
            transforms.RandomResizedCrop(32),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
            transforms.RandomRotation(15),
            transforms.ToTensor(),
            transforms.Normalize(mean=mean, std=std),
        ])
        """,
    "imbalanced": """
        num_classes = 3
        class_weights = [0.5, 2.0, 1.5]
        epochs = 2
        scheduler = "CosineAnnealingLR"
        scheduler_params = {"T_max": 50}
        """,
    "layerwise": """
        enable_layer_wise_lr = True
        layer_wise_lr_config = {
            "layer_rates": {"conv1": 0.0001, "stage2": 0.0005, "fc": 0.01},
            "graph_config": {"use_log_scale": True},
        }
        scheduler = "ExponentialLR"
        scheduler_params = {"gamma": 0.95}
        """,
    "linear": """
        optimizer = "AdamW"
        scheduler = "LinearLR"
        scheduler_params = {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 5}
        """,
    "stopping": """
        epochs = 3
        early_stopping = {"enabled": True, "patience": 1, "min_delta": 90.0}
        """,
    "gradients": """
        enable_gradient_tracking = True
        gradient_tracking_config = {"aggregation_method": "rms", "exclude_patterns": []}
        """,
    "no_validation": """
        val_data_root = None
        seed = 7
        """,
    "version_2": """
        import torch
        train_transform = v2.Compose([
            v2.ToImage(),
            v2.RandomApply([v2.GaussianBlur(3)], p=0.5),
            v2.RandomChoice([v2.RandomRotation((-10, 10)), v2.RandomGrayscale(p=1.0)]),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ])
        """,
    "image_size": """
        del train_transform, val_transform
        image_size = 24
        save_every = 10
        """,
}


@pytest.fixture
def shop(tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data/train and data/val, 3 unequal classes."""
    make_folder(tmp_path / "data" / "train", {"a": 6, "b": 3, "c": 4})
    make_folder(tmp_path / "data" / "val", {"a": 2, "b": 2, "c": 2})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def fresh_hydra() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def run(command: str, *argv: str) -> int:
    """The exit code of a command in this process."""
    HydraConfig.instance().cfg = None
    try:
        main([command, *argv], prog="train.py" if command == "train" else "pochi")
    except SystemExit as error:
        assert isinstance(error.code, int)
        return error.code
    return 0


def write(path: Path, text: str) -> Path:
    path.write_text(BASE + textwrap.dedent(text), encoding="utf-8")
    return path


def read_run(folder: Path) -> tuple[dict[str, Any], bytes]:
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return config, (folder / "training_metrics.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_migrated_file_is_the_same_run(shop: Path, name: str) -> None:
    write(shop / "old.py", FILES[name])
    assert run("train", "--config", "old.py", "hydra.run.dir=first") == 0
    assert run("migrate", "old.py", "-o", "conf/experiment/new.yaml") == 0
    again = run("train", "--config-dir", "conf", "experiment=new", "hydra.run.dir=second")
    assert again == 0
    first, second = read_run(shop / "first"), read_run(shop / "second")
    assert first[0] == second[0]
    assert first[1] == second[1]
    assert first[1].count(b"\n") >= 2  # a header and an epoch at least


@pytest.mark.slow
def test_overrides_go_on_top_of_the_file(shop: Path) -> None:
    write(shop / "old.py", FILES["fast"])
    words = ["scheduler=cosineannealinglr", "optimizer=adamw", "learning_rate=3e-4"]
    assert run("train", "--config", "old.py", *words, "hydra.run.dir=r") == 0
    config, _ = read_run(shop / "r")
    assert config["scheduler"]["_target_"].endswith("CosineAnnealingLR")
    assert "step_size" not in config["scheduler"]
    assert config["scheduler"]["T_max"] == 2  # follows the file's epochs
    assert config["optimizer"]["_target_"] == "torch.optim.AdamW"
    assert config["optimizer"]["lr"] == 3e-4
    assert config["work_dir"] == "work_dirs"


def test_experiment_goes_on_top_of_the_file(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(shop / "old.py", FILES["fast"])
    (shop / "conf" / "experiment").mkdir(parents=True)
    (shop / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n- override /optimizer: adamw\nepochs: 9\n"
    )
    words = ["--config", "old.py", "--config-dir", "conf", "experiment=mine", "--cfg", "job"]
    assert run("train", *words) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["epochs"] == 9
    assert config["optimizer"]["_target_"] == "torch.optim.AdamW"
    assert config["scheduler"]["step_size"] == 1


LAMBDA = """
SCALE = 0.5
epochs = 1
class Darken:
    def __init__(self, factor):
        self.factor = factor
    def __call__(self, picture):
        return picture.point(lambda level: level * self.factor)
def keep(picture):
    return picture
train_transform = transforms.Compose([
    transforms.Lambda(lambda picture: picture.rotate(90)), Darken(SCALE), keep,
    transforms.ToTensor(),
])
"""


@pytest.mark.slow
def test_lambda_function_and_class_train_in_a_sweep_of_worker_processes(shop: Path) -> None:
    write(shop / "old.py", LAMBDA)
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "optimizer=sgd,adam"]
    done = subprocess.run(
        [sys.executable, REPOSITORY / "train.py", "--config", "old.py", "--multirun", *words],
        cwd=shop,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    configs = [
        yaml.safe_load(path.read_text()) for path in sorted(shop.glob("work_dirs/*/config.yaml"))
    ]
    assert {config["optimizer"]["_target_"] for config in configs} == {
        "torch.optim.SGD",
        "torch.optim.Adam",
    }
    steps = configs[0]["transform"]["train"]
    assert [step["attribute"] for step in steps[1:3]] == ["train_transform.transforms[1]", "keep"]


def test_migrate_names_what_is_not_portable_and_the_yaml_never_runs_the_file(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(shop / "old.py", LAMBDA + "__import__('pathlib').Path('executed').touch()\n")
    assert run("migrate", "old.py", "-o", "conf/experiment/new.yaml") == 0
    report = capsys.readouterr()
    for name in ("train_transform.transforms[0].lambd", "train_transform.transforms[1]", "keep"):
        assert f"Not portable: {name} " in report.err
    assert "SCALE" in report.out
    (shop / "executed").unlink()
    assert run("train", "--config-dir", "conf", "experiment=new") == 2
    message = capsys.readouterr().err
    assert "train_transform.transforms[0].lambd" in message
    assert f"--config {shop / 'old.py'}" in message
    assert "Traceback" not in message
    assert not (shop / "executed").exists()
    assert not (shop / "work_dirs").exists()


def complete(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> list[str]:
    monkeypatch.setenv("COMP_LINE", line)
    run("train", "-sc", "query=bash")
    return capsys.readouterr().out.split()


def test_completion_knows_the_file_but_does_not_run_it(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(shop / "old.py", FILES["fast"])
    path.write_text(path.read_text() + "raise RuntimeError('executed')\n")
    start = "python train.py --config old.py "
    assert "scheduler=steplr" in complete(start + "scheduler=", capsys, monkeypatch)
    assert "scheduler.step_size=" in complete(start + "scheduler.", capsys, monkeypatch)
    assert complete("python train.py --config ol", capsys, monkeypatch) == ["old.py"]
    path.rename(shop / "私の old.py")
    for word in ("'私の old.py'", "私の\\ old.py", '"私の old.py"'):
        line = f"pochi optimize --config {word} scheduler."
        assert "scheduler.step_size=" in complete(line, capsys, monkeypatch)
    assert complete("pochi infer out", capsys, monkeypatch) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config"], "--config must be followed by a Python file"),
        (["--config="], "--config must be followed by a Python file"),
        (["--config", "nope.py"], "got 'nope.py' (No such file or directory)"),
        (["--config", "a.yaml"], "is chosen with experiment=a"),
        (["--config", "old.py", "--config=old.py"], "--config must be given once"),
    ],
)
def test_wrong_flag(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    write(shop / "old.py", "")
    assert run("train", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_guide_example_composes_and_reads_fast(tmp_path: Path) -> None:
    """Reading and composing cost less than six times the import of Hydra in the same process.

    CPU seconds as a ratio, so that neither a slow machine nor other work on it counts.
    """
    code = (
        "import time, torchvision.transforms.v2, sys\n"
        "start = time.process_time()\n"
        "import hydra\n"
        "imported = time.process_time()\n"
        "from pochitrain.cli.main import main\n"
        "main(['train', '--config', 'configs/pochi_train_config.py', '--cfg', 'job'])\n"
        "print((time.process_time() - imported) / (imported - start), file=sys.stderr)"
    )
    ratios = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        ratios.append(float(done.stderr.splitlines()[-1]))
    print("reading and composing, in imports of Hydra:", ratios)
    assert min(ratios) < 6, ratios
