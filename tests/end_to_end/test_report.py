"""The page that a training leaves behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pochitrain.run.train import has_page
from tests.report.test_run_page import Page

Pochi = Callable[..., Any]


@pytest.mark.slow
def test_a_training_ends_with_its_page(
    pochi: Pochi, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    root = make_folder(tmp_path / "photos", {"ant": 9, "bee": 6})
    words = ["data=folder", f"data.train_root={root}", "data.val_fraction=0.4", "epochs=2",
             "transform.size=32", "model=torchvision", "model.name=shufflenet_v2_x0_5",
             "batch_size=4", "report.language=ja", "hydra.run.dir=run"]  # fmt: skip
    outcome = pochi(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "Report: run/report.html"
    page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "訓練レポート" in page.text and "検証画像 6 枚での正答率" in page.text
    data = next(json.loads(text) for text in page.scripts if '"pictures":' in text)
    assert sorted(data["classes"]) == ["ant", "bee"] and len(data["pictures"]) == 6
    assert "9 枚" in page.text  # for training
    table = [cell.get("data-count") for cell in page.all("button") if "data-count" in cell]
    assert {"4", "2"} <= set(table)  # validation pictures of the classes

    (tmp_path / "run" / "report.html").unlink()
    again = pochi("run", "--language", "en", command="report", prog="pochi")
    assert again.code == 0, again.err
    text = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "accuracy on 6 validation pictures" in text.text
    assert "What is missing here" not in text.text
    assert len(next(json.loads(t) for t in text.scripts if '"pictures":' in t)["pictures"]) == 6


@pytest.mark.parametrize(
    ("html", "export", "search", "wanted"),
    [
        (True, True, False, True),
        (False, True, False, False),
        (True, False, False, False),
        (True, True, True, False),
    ],
)
def test_which_runs_have_a_page(html: bool, export: bool, search: bool, wanted: bool) -> None:
    node = {
        "report": {"html": html},
        "metrics": {"export": export},
        "optuna": {"enabled": search},
    }
    assert has_page(OmegaConf.create(node)) is wanted
