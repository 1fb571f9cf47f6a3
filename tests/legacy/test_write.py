"""py -> config -> py -> config and py -> config -> YAML -> config give the same tree."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pochitrain.config.optuna import PRUNERS, SAMPLERS
from pochitrain.legacy.migrate import train_command
from pochitrain.legacy.read import read_python_config
from pochitrain.legacy.register import SELECT, use_config_file
from pochitrain.legacy.translate import translate
from pochitrain.legacy.write import write_python_config, write_selection, write_yaml_experiment
from pochitrain.paths import config_directory
from tests.legacy.conftest import HEAD, compose_plain

IMPORTS = """
import torch
from torch import nn
from torchvision.transforms import v2
"""
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).filter(
        lambda text: text != "???"
    ),
    st.sampled_from(
        ["${epochs}", "\\${x}", "C:\\", "null", "1e3", " a: b # c", "'\"", "two\nlines\t"]
    ),
)
NAMES = TEXTS.filter(bool)
RATES = st.floats(1e-8, 1.0)
COUNTS = st.integers(1, 500)
BOOLS = st.booleans()
COLORS = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


class Code(str):
    """Python code, written into the file as it is."""

    __repr__ = str.__str__


def some(**entries: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries with any of the entries."""
    return st.fixed_dictionaries({}, optional=entries)


SCHEDULERS = st.one_of(
    st.just({"scheduler": None}),
    some(step_size=COUNTS, gamma=RATES).map(lambda p: named("StepLR", p)),
    st.builds(
        lambda steps, rest: named("MultiStepLR", {"milestones": sorted(steps), **rest}),
        st.lists(COUNTS, min_size=1, max_size=4, unique=True),
        some(gamma=RATES),
    ),
    some(T_max=COUNTS, eta_min=RATES).map(lambda p: named("CosineAnnealingLR", p)),
    some(gamma=st.floats(0.01, 0.99)).map(lambda p: named("ExponentialLR", p)),
    some(start_factor=RATES, end_factor=RATES, total_iters=COUNTS).map(
        lambda p: named("LinearLR", p)
    ),
)

LAYERS = st.sampled_from(["conv1", "bn1", "layer1", "layer4", "fc", "a\\.b", "layer[12]"])
LAYER_RATES = st.builds(
    lambda enabled, rates, graph: {
        "enable_layer_wise_lr": enabled,
        "layer_wise_lr_config": {"layer_rates": rates, "graph_config": graph},
    },
    BOOLS,
    st.dictionaries(LAYERS, RATES, min_size=1),
    some(use_log_scale=BOOLS),
)

WEIGHTS = st.one_of(
    st.just({"class_weights": None}),
    st.lists(RATES, min_size=2, max_size=5).map(
        lambda weights: {"class_weights": weights, "num_classes": len(weights)}
    ),
)

SPACE = some(
    learning_rate=st.just({"type": "float", "low": 1e-5, "high": 0.1, "log": True}),
    batch_size=st.just({"type": "categorical", "choices": [16, 32]}),
    optimizer=st.just({"type": "categorical", "choices": ["SGD", "Adam", "AdamW"]}),
    scheduler_gamma=st.just({"type": "float", "low": 0.85, "high": 0.99}),
    scheduler_step_size=st.just({"type": "int", "low": 5, "high": 30, "step": 5}),
)

STEPS = st.lists(
    st.sampled_from(
        [
            "transforms.Resize((20, 24))",
            "transforms.RandomResizedCrop(16, scale=(0.5, 1.0))",
            "transforms.RandomHorizontalFlip(p=0.25)",
            "transforms.ColorJitter(brightness=0.3, hue=(-0.1, 0.1))",
            "transforms.RandomRotation(15, interpolation=transforms.InterpolationMode.BILINEAR)",
            "transforms.RandomApply([transforms.GaussianBlur(3)], p=0.5)",
            "v2.RandomChoice([v2.AutoAugment(), v2.Lambda(lambda x: x)], p=[0.5, 0.5])",
            "nn.Sequential(v2.Pad(1, fill=(1, 2, 3)))",
        ]
    ),
    max_size=4,
).map(
    lambda steps: Code(
        f"transforms.Compose([{''.join(f'{step}, ' for step in steps)}transforms.ToTensor(), "
        "v2.ToDtype(torch.float32, scale=True), transforms.Normalize(mean=mean, std=std)])"
    )
)

FILES = st.builds(
    lambda *parts: {key: value for part in parts for key, value in part.items()},
    some(
        model_name=st.sampled_from(["resnet18", "resnet34", "resnet50", "vit_b_16"]),
        num_classes=COUNTS,
        pretrained=BOOLS,
        train_data_root=NAMES,
        val_data_root=NAMES,
        batch_size=COUNTS,
        num_workers=st.integers(0, 8),
        epochs=COUNTS,
        learning_rate=RATES,
        optimizer=st.sampled_from(["Adam", "AdamW", "SGD"]),
        enable_metrics_export=BOOLS,
        enable_tensorboard=BOOLS,
        train_pin_memory=BOOLS,
        infer_pin_memory=BOOLS,
        gpu_non_blocking=BOOLS,
        work_dir=NAMES,
        device=st.sampled_from([None, "cpu", "cuda:1"]),
        cudnn_benchmark=BOOLS,
        seed=st.integers(0, 10**6),
        early_stopping=some(
            enabled=BOOLS,
            patience=COUNTS,
            min_delta=st.floats(0, 9),
            monitor=st.sampled_from(["val_accuracy", "val_loss"]),
        ),
        enable_gradient_tracking=BOOLS,
        gradient_tracking_config=some(
            record_frequency=COUNTS,
            exclude_patterns=st.lists(st.sampled_from(["fc\\.", "bn", "layer[12]"])),
            group_by_block=BOOLS,
            aggregation_method=st.sampled_from(["median", "mean", "max", "rms"]),
        ),
        confusion_matrix_config=some(
            title=TEXTS,
            xlabel=TEXTS,
            ylabel=TEXTS,
            fontsize=st.integers(1, 50),
            title_fontsize=st.integers(1, 50),
            label_fontsize=st.integers(1, 50),
            figsize=st.tuples(st.integers(1, 20), st.floats(1, 20)),
            cmap=st.sampled_from(["Blues", "Greens"]),
        ),
        optuna=some(
            study_name=NAMES,
            direction=st.sampled_from(["maximize", "minimize"]),
            n_trials=COUNTS,
            n_jobs=COUNTS,
            optuna_epochs=COUNTS,
            sampler=st.sampled_from(SAMPLERS),
            pruner=st.sampled_from(PRUNERS),
            storage=st.sampled_from([None, "sqlite:///optuna_study.db"]),
            search_space=SPACE,
        ),
        overrides=some(
            **{
                "optimizer.weight_decay": RATES,
                "loss.label_smoothing": st.floats(0, 0.5),
                "checkpoint.every_epochs": COUNTS,
            }
        ),
    ),
    SCHEDULERS,
    st.one_of(st.just({}), LAYER_RATES),
    st.one_of(st.just({}), WEIGHTS),
    st.fixed_dictionaries({"mean": COLORS, "std": COLORS}),
    some(train_transform=STEPS, val_transform=STEPS),
)


def named(name: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"scheduler": name, "scheduler_params": params}


def compose_python(path: Path) -> dict[str, Any]:
    use_config_file(path)
    return compose_plain(SELECT)


def round_trips(text: str, folder: Path) -> None:
    old, again = folder / "old.py", folder / "again.py"
    old.write_text(text, encoding="utf-8")
    plain = compose_python(old)
    write_python_config(plain, again)
    assert compose_python(again) == plain
    write_selection(translate(read_python_config(old)).selection, folder / "experiment" / "a.yaml")
    assert compose_plain("experiment=a", search=folder) == plain
    write_yaml_experiment(plain, folder / "experiment" / "b.yaml")
    assert compose_plain("experiment=b", search=folder) == plain


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a file takes a second or two: shrinking one would take minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(values=FILES.filter(lambda v: v.get("val_data_root") != v.get("train_data_root")))
def test_generated_files_round_trip(values: dict[str, Any]) -> None:
    lines = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "experiment").mkdir()
        round_trips(f"{HEAD}{IMPORTS}\n{lines}\n", Path(name))


TRANSFORMS = f"""{IMPORTS}
mean = [0.1, 0.2, 0.3]
train_transform = v2.Compose([
    transforms.Resize((20, 24), interpolation=transforms.InterpolationMode.NEAREST_EXACT),
    nn.Sequential(v2.RandomApply([v2.ColorJitter(0.1, hue=(-0.1, 0.1))], p=0.5)),
    transforms.Lambda(lambda x: x),
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize(mean, (0.5, 0.5, 0.5)),
])
"""
OTHERS = "overrides = {'data': 'digits', 'data.image_size': 16, 'loss': 'uniform', 'seed': 5}"


@pytest.mark.parametrize("text", [TRANSFORMS, OTHERS])
def test_transforms_and_settings_without_a_name_round_trip(
    write_file: Callable[..., Path], tmp_path: Path, text: str
) -> None:
    (tmp_path / "experiment").mkdir()
    steps = [line for line in HEAD.splitlines() if "data_root" not in line]
    head = HEAD if text == TRANSFORMS else "\n".join([*steps, ""])
    round_trips(write_file(text, head=head).read_text(encoding="utf-8"), tmp_path)


def test_python_file_reads_like_the_guide(tmp_path: Path, compose_text: Any) -> None:
    plain = compose_text(
        "model_name = 'resnet34'\nscheduler = 'CosineAnnealingLR'\nmean = [0.5, 0.4, 0.3]\n"
        "std = [0.25, 0.25, 0.25]\nnormalize = transforms.Normalize(mean, std)\n"
        "crop = transforms.RandomResizedCrop(224, scale=(0.5, 1.0))\n"
        "val_transform = transforms.Compose([crop, transforms.ToTensor(), normalize])"
    )
    write_python_config(plain, tmp_path / "out.py", "Best parameters.")
    text = (tmp_path / "out.py").read_text(encoding="utf-8")
    assert text.startswith('"""pochitrain config.\n\nBest parameters.\n"""\n')
    for line in (
        'model_name = "resnet34"',
        'scheduler = "CosineAnnealingLR"',
        "train_transform = v2.Compose([transforms.ToTensor()])",
        "    transforms.Normalize(mean=mean, std=std),",
    ):
        assert line in text.splitlines()
    assert "T_max" not in text  # it goes on following the epochs


def test_note_cannot_break_the_file(tmp_path: Path, compose_text: Any) -> None:
    note = 'study """ \\N \' name'
    write_python_config(compose_text("epochs = 3"), tmp_path / "out.py", note)
    config = read_python_config(tmp_path / "out.py")
    assert config.settings["epochs"] == 3
    assert note in config.names["__doc__"]


@pytest.mark.parametrize(
    ("folder", "output", "command"),
    [
        ("clone", "conf/experiment/a b.yaml", "python train.py 'experiment=a b'"),
        ("clone", "mine.yaml", "python train.py experiment=mine  (move it to conf/experiment"),
        ("other", "conf/experiment/mine.yaml", "pochi train --config-dir conf experiment=mine"),
        ("other", "x y/experiment/mine.yaml", "pochi train --config-dir 'x y' experiment=mine"),
        ("other", "mine.yaml", "pochi train --config-dir conf experiment=mine  (move it to"),
    ],
)
def test_migrate_prints_a_command_that_works_in_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, output: str, command: str
) -> None:
    monkeypatch.chdir(config_directory().parent if folder == "clone" else tmp_path)
    assert train_command(Path(output)).startswith(command)
