"""What a file may contain, and what its author reads after a mistake."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pochitrain.error import ConfigError
from pochitrain.legacy.read import read_literals, read_python_config
from pochitrain.legacy.translate import translate

WriteFile = Callable[..., Path]
Compose = Callable[..., dict[str, Any]]


def message_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        translate(read_python_config(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "helpers"),
    [
        ("SIZE = 224\nimage_size = SIZE", ["SIZE"]),
        ("_scratch = 1", []),
        ("import os, math\nfrom pathlib import Path", []),
        ("def to_gray(x):\n    inside = 1\n    return x", []),
        ("class Blur:\n    radius = 2", []),
        ("make = lambda x: x", []),
        ("sizes = [s for s in (1, 2)]\nbatch_size = len(sizes)", ["sizes"]),
        ("for i, unused in [(1, 2)]:\n    epochs = i", []),
        ("with open(__file__) as file:\n    pass", []),
        ("(n := 3)\nepochs, m = n, 4\nm += 1\nepochs += m", ["n", "m"]),
        ("n_trials = 3\noptuna = {'n_trials': n_trials}", ["n_trials"]),
        ("temporary = 1\ndel temporary", []),
        ("__author__ = 'me'", []),
    ],
)
def test_helpers_are_no_error(write_file: WriteFile, text: str, helpers: list[str]) -> None:
    config = read_python_config(write_file(text))
    assert config.helpers == helpers
    translate(config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "learnin_rate = 0.1",
            "learnin_rate in PATH is not a setting. Did you mean learning_rate?",
        ),
        ("EPOCHS = 3", "EPOCHS in PATH is not a setting. Did you mean epochs?"),
        ("epochs, batch_sise = 1, 2", "batch_sise in PATH is not a setting. Did you mean batch_"),
        (
            "optuna = {'n_jobs': 1}\nn_trials = 3\nprint(n_trials)",
            "n_trials in PATH must be in optuna",
        ),
        ("confusion_matrix_config = {'title': '???'}", "['title'] must be another text than"),
        ("banana = 1", "banana in PATH is not a setting. Settings: "),
        # used, but nearly the name of a setting that the file does not give
        ("num_class = 3\nclass_weights = [1.0] * num_class", "Did you mean num_classes?"),
        ("test_transform = train_transform", "test_transform in PATH is not a setting."),
        ("epochs = '50'", "epochs must be an integer, got '50'."),
        ("epochs = True", "epochs must be an integer, got True."),
        ("epochs = 2.0", "epochs must be an integer, got 2.0."),
        ("learning_rate = '1e-3'", "learning_rate must be a number, got '1e-3'."),
        ("pretrained = 1", "pretrained must be True or False, got 1."),
        ("class_weights = {'a': 1.0}", "class_weights must be a list"),
        (
            "early_stopping = {'patiense': 3}",
            "early_stopping['patiense'] is not a setting. Did you",
        ),
        ("early_stopping = {'patience': '3'}", "early_stopping['patience'] must be an integer"),
        (
            "layer_wise_lr_config = {'graph_config': {'log': True}}",
            "layer_wise_lr_config.graph_config['log'] is not a setting.",
        ),
        ("optimizer = 'Adamw2'", "optimizer must be one of Adam, AdamW, SGD, got 'Adamw2'."),
        (
            "scheduler = 'CustomLR'",
            "サポートされていないスケジューラー: CustomLR: scheduler must be",
        ),
        (
            "scheduler = 'StepLR'\nscheduler_params = {'step': 3}",
            "scheduler_params['step'] is not a setting of StepLR. Did you mean step_size?",
        ),
        (
            "image_size = (224, 200)\ndel train_transform, val_transform",
            "image_size must be one int",
        ),
        (
            "overrides = {'resume': 'auto'}",
            "overrides['resume'] is not a key that a config file may set.",
        ),
        ("x = [1]\nx.append(x)\nclass_weights = x", "class_weights must not contain itself."),
        ("overrides = {'nonsense.x': 1}", "overrides['nonsense.x'] is not a key"),
        ("epochs = (", "PATH, line 7: SyntaxError: '(' was never closed\n    epochs = ("),
        ("def f(x):\n    return 1 / x\nepochs = f(0)", "PATH, line 8: ZeroDivisionError: division"),
        ("import not_there", "PATH, line 7: ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit('stop')", "PATH, line 7: SystemExit: stop"),
        ("x = T.Resize(3)", "Import it at the top of the file: import torchvision.transforms"),
    ],
)
def test_mistakes(write_file: WriteFile, text: str, expected: str) -> None:
    path = write_file(text)
    message = message_of(path)
    assert expected.replace("PATH", str(path)) in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"epochs = 1\0", "PATH: SyntaxError: source code string cannot contain null bytes"),
        ("# 学習\nepochs = 1".encode("cp932"), "name its encoding in the first line: # coding"),
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "old.py"
    path.write_bytes(content)
    assert expected.replace("PATH", str(path)) in message_of(path)


@pytest.mark.parametrize("codec", ["utf-8-sig", "cp932", "euc_jp"])
def test_encodings(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "old.py"
    cookie = "" if codec == "utf-8-sig" else f"# -*- coding: {codec} -*-\r\n"
    path.write_bytes(f"{cookie}学習 = '結果'\r\nwork_dir = 学習\r\n".encode(codec))
    assert read_python_config(path).settings == {"work_dir": "結果"}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (
            "num_classes = 4\nclass_weights = [1.0, 2.0, 3.0]",
            "クラス重みの長さ(3)がクラス数(4)と一致しません",
        ),
        ("enable_layer_wise_lr = True", "層別学習率が有効ですが layer_rates が定義されていません"),
        ("train_transform = None", "transform は必須です"),
        ("scheduler = 'CustomLR'", "サポートされていないスケジューラー: CustomLR"),
    ],
)
def test_texts_of_the_guide(compose_text: Compose, text: str, start: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_text(text)
    assert str(caught.value).startswith(start)


def test_flat_search_settings_are_shown_nested(write_file: WriteFile) -> None:
    path = write_file("n_trials = 3\nsearch_space = {'learning_rate': {'type': 'float'}}")
    message = message_of(path)
    nested = message[message.rindex("optuna = {") :]
    names: dict[str, Any] = {}
    exec(nested, names)  # what the message says to paste is Python
    assert names["optuna"] == {
        "n_trials": 3,
        "search_space": {"learning_rate": {"type": "float"}},
    }


def test_settings_without_effect_are_named(write_file: WriteFile) -> None:
    path = write_file("save_every = 10\nimage_size = 32\nscheduler_params = {'gamma': 0.1}")
    warnings = translate(read_python_config(path)).warnings
    assert [text.split(" ")[0].partition("=")[0] for text in warnings] == [
        "scheduler_params",
        "image_size",
        "save_every",
    ]


def test_image_size_gives_default_transforms(write_file: WriteFile, compose_file: Compose) -> None:
    head = "train_data_root = 'data/train'\nval_data_root = 'data/val'\n"
    plain = compose_file(write_file("image_size = 64\ndevice = None", head=head))
    sizes = [step.get("size") for step in plain["transform"]["val"]]
    assert sizes[:2] == [73, 64]  # Resize(256/224 * size), CenterCrop(size)


def test_prints_of_the_file_do_not_reach_stdout(
    write_file: WriteFile, capsys: pytest.CaptureFixture[str]
) -> None:
    read_python_config(write_file("print('hello')"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_literals_are_read_without_executing(write_file: WriteFile) -> None:
    path = write_file("epochs = 3\nbatch_size = int('4')\nraise RuntimeError")
    settings = read_literals(path).settings
    assert settings["epochs"] == 3
    assert "batch_size" not in settings


def test_constructors_are_put_back(write_file: WriteFile) -> None:
    from torchvision import transforms
    from torchvision.transforms import v2

    before = [(kind, kind.__init__, "__init__" in vars(kind)) for kind in (v2.Resize, v2.ToImage)]
    before.append((transforms.Compose, transforms.Compose.__init__, True))
    for text in ("epochs = 1", "raise RuntimeError"):
        with contextlib.suppress(ConfigError):
            read_python_config(write_file(text))
        for kind, constructor, own in before:
            assert kind.__init__ is constructor
            assert ("__init__" in vars(kind)) == own
