"""What is written composes to the same config again: every option of every group, found on disk,
and options from outside the package. A new YAML file or a new key needs no change here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.metrics import MetricsConfig
from pochitrain.config.registry import register_config, register_transforms_of_data
from pochitrain.config.root import GROUPS, to_plain
from pochitrain.legacy.composition import BY_VALUE, default_options
from pochitrain.legacy.reference import trust_nothing
from pochitrain.legacy.register import SELECT, use_config_file
from pochitrain.legacy.write import write_python_config, write_yaml_experiment
from pochitrain.paths import config_directory

CONF = config_directory()
NOT_CHOSEN = {"hydra", "legacy", "experiment"}
"""Folders of conf/ that are no group of the tree."""
OPTIONS = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
    for folder in sorted(CONF.iterdir())
    if folder.is_dir() and folder.name not in NOT_CHOSEN
}
ROWS = [
    {group: names[i % len(names)] for group, names in OPTIONS.items()}
    for i in range(max(map(len, OPTIONS.values())))
]
"""Every option is in one of them; composing many at once keeps this quick."""
MANDATORY = {
    "data=folder": "data.train_root=photos",
    "data=table": "data.table=labels.csv",
    "data=shards": "data.train_shards=train.tar",
    "model=torchvision": "model.name=squeezenet1_1",
    "model=timm": "model.name=test_resnet",
    "loss=manual": "loss.class_weights=[1.0,2.0]",
}

OUTSIDE = {
    "optimizer/nadam": "_target_: torch.optim.NAdam\n_partial_: true\nlr: ${learning_rate}\n"
    "betas: [0.9, 0.99]\nmomentum_decay: 0.004\n",
    "optimizer/typed": "defaults:\n- /schema/optimizer/adam@_here_\n- _self_\n"
    "_target_: torch.optim.NAdam\neps: 0.001\n",
    "scheduler/restarts": "_target_: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts\n"
    "_partial_: true\nT_0: ${epochs}\nT_mult: 2\n",
    "loss/plain": "_target_: torch.nn.CrossEntropyLoss\nlabel_smoothing: 0.1\n",
    "loss/focal": "_target_: mine.Focal\ngamma: 2.0\nalpha: {1: 0.5, 2: .inf}\n"
    "inner: {_target_: mine.Part, note: 'a ${not:b} \"c\"'}\n".replace("${not", "\\${not"),
    "transform/own": "train: [{_target_: torchvision.transforms.ToTensor}]\n"
    "val: [{_target_: torchvision.transforms.ToTensor}]\nstrength: 3\n",
    "model/own": "_target_: mine.build\nwidth: ${batch_size}\n'a.b': 1\n",
    "data/own": "defaults:\n- /schema/data/folder@_here_\n- _self_\ntrain_root: photos\n",
    "early_stopping/own": "defaults:\n- default\n- _self_\npatience: 2\n",
}
"""Options of the person's own: some with a schema, some with keys that no schema has."""

OUTSIDE_ROWS = [
    ["optimizer=nadam", "scheduler=restarts", "loss=plain", "model=own", "data=own"],
    ["optimizer=typed", "loss=focal", "transform=own", "early_stopping=own"],
]

VARIED = [
    [
        "optimizer=nadam",
        "optimizer.momentum_decay=0.1",
        "learning_rate=0.5",
        "scheduler=restarts",
        "scheduler.T_mult=3",
        "epochs=4",
        "loss=focal",
        "+loss.more={a:{b:[1,{c:null}]}}",
        "early_stopping=own",
        "early_stopping.min_delta=0.5",
        "layer_wise_lr=resnet",
        "~layer_wise_lr.layer_rates.conv1",
    ],
    [
        "optimizer=nadam",
        "~optimizer.betas",
        "loss=uniform",
        "loss.label_smoothing=0.1",
        "layer_wise_lr=resnet",
        "layer_wise_lr.layer_rates.fc=0.5",
        "data=folder",
        "data.train_root='a\\${b} c'",
        "data.num_workers=3",
        "data.verify=false",
        "transform=modern",
        "transform.size=64",
        "transform.fit=pad",
        "transform.crop_scale=0.4",
        "transform.interpolation=bicubic",
        "transform.crop_pct=0.9",
        "strategy=finetune",
        "strategy.views=2",
        "transform.batch.prob=0.5",
        "mean=[0.1,0.2,0.3]",
    ],
    [
        "optimizer._target_=torch.optim.NAdam",
        "loss.class_weights=[1.0,2.0]",
        "model.name=alexnet",
        "model.freeze=2",
        "transform=augment",
        "transform.val=[{_target_:torchvision.transforms.ToTensor}]",
        "+callbacks.mine={_target_:mine.Callback,every:2,inner:{_target_:mine.X}}",
        "fault.nonfinite=skip",
        "optuna=grid",
        "optuna.n_trials=3",
        "checkpoint.every_minutes=0.5",
        "early_stopping.patience=3",
        "report.language=ja",
        "report.max_pictures=50",
    ],
]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the person's own with options and room for experiments."""
    folder = tmp_path_factory.mktemp("own conf")
    for name, text in OUTSIDE.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "experiment").mkdir()
    return folder


@pytest.fixture
def app(outside: Path) -> Iterator[None]:
    """Hydra as it is in a command with that folder in hydra.searchpath."""
    register_config()
    register_transforms_of_data([CONF, outside])
    with initialize_config_dir(str(CONF)):
        HydraConfig.instance().set_config(compose_whole([], outside))
        yield
    HydraConfig.instance().cfg = None
    trust_nothing()


def compose_whole(words: list[str], outside: Path) -> DictConfig:
    """The tree with the node `hydra`."""
    search = f"hydra.searchpath=['file://{outside}']"
    return compose("config", [search, *words], return_hydra_config=True)


def compose_choices(words: list[str], outside: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The tree as plain values, and the option of each group."""
    cfg = compose_whole(words, outside)
    choices = {str(key): str(name) for key, name in cfg.hydra.runtime.choices.items()}
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return to_plain(cfg), choices


def round_trips(words: list[str], outside: Path, tmp_path: Path, named: bool) -> list[str]:
    """Write what `words` compose to in both forms, and read both; the texts of the files."""
    plain, choices = compose_choices(words, outside)
    wanted = plain | {"optuna": plain["optuna"] | {"enabled": False}}  # searching is a command's
    python, experiment = tmp_path / "written.py", outside / "experiment" / "written.yaml"
    write_python_config(plain, python, "", choices if named else None)
    write_yaml_experiment(plain, experiment, "", choices if named else None)
    use_config_file(python)
    assert compose_choices([SELECT], outside)[0] == wanted
    assert compose_choices(["experiment=written"], outside)[0] == wanted
    return [python.read_text(encoding="utf-8"), experiment.read_text(encoding="utf-8")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(dict.fromkeys(row.values())))
def test_shipped_options(app: None, outside: Path, tmp_path: Path, row: dict[str, str]) -> None:
    words = [f"{group}={name}" for group, name in row.items()]
    words += [MANDATORY[word] for word in words if word in MANDATORY]
    _, experiment = round_trips(words, outside, tmp_path, named=True)
    for group, name in row.items():
        # The others of these would search, or set values of other groups.
        kept = default_options()[group] if group in BY_VALUE else name
        assert f"- override /{group}: {kept}\n" in experiment


@pytest.mark.parametrize("choices", OUTSIDE_ROWS, ids=" ".join)
@pytest.mark.parametrize("named", [True, False])
def test_options_from_outside(
    app: None, outside: Path, tmp_path: Path, choices: list[str], named: bool
) -> None:
    python, experiment = round_trips([*choices, "learning_rate=0.5"], outside, tmp_path, named)
    for choice in choices:
        group, _, option = choice.partition("=")
        assert (f'"{group}": "{option}"' in python) is named
        assert (f"- override /{group}: {option}\n" in experiment) is named
        assert not (named and f"\n{group}:" in experiment)  # nothing differs from it


@pytest.mark.parametrize("words", VARIED, ids=["outside", "shipped", "mixed"])
@pytest.mark.parametrize("named", [True, False])
def test_values_on_top(
    app: None, outside: Path, tmp_path: Path, words: list[str], named: bool
) -> None:
    round_trips(words, outside, tmp_path, named)


@dataclass
class LaterMetrics(MetricsConfig):
    later: list[str] | None = None
    parts: dict[str, Any] = field(default_factory=dict)


def test_keys_that_a_later_version_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "later"
    (folder / "experiment").mkdir(parents=True)
    monkeypatch.setitem(GROUPS, "metrics", ({"metrics": LaterMetrics}, GROUPS["metrics"][1]))
    register_config()
    try:
        with initialize_config_dir(str(CONF)):
            HydraConfig.instance().set_config(compose_whole([], folder))
            words = ["metrics.later=[a,b]", "+metrics.parts.mine={_target_:mine.F1,beta:2}"]
            python, _ = round_trips(words, folder, tmp_path, named=False)
    finally:
        monkeypatch.undo()
        register_config()
        HydraConfig.instance().cfg = None
        trust_nothing()
    assert '"metrics.later": ["a", "b"]' in python
