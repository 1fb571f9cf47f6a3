"""What goes into pages: tables, settings, searches, multiruns; and the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pochitrain.config.report import ReportConfig
from pochitrain.console import open_console
from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.data.folder import ImageFolderDataset
from pochitrain.legacy.composition import default_options
from pochitrain.metric.interval import wilson_interval
from pochitrain.report.thumbnail import load_small, make_thumbnails
from pochitrain.run.report import report as module
from pochitrain.run.report.multirun_page import find_grid, make_multirun_page, read_grid
from pochitrain.run.report.pictures import common_folder
from pochitrain.run.report.report import own_settings, report_training
from pochitrain.run.report.run_files import read_run
from pochitrain.run.report.search_page import make_search_page, read_search
from pochitrain.run.report.settings import find_differences
from pochitrain.run.report.tables import NUM_PART, class_rows, shown_matrix, worst_pairs
from tests.report.run_folder import CONFUSION, Painted, answers_in_order, write_run
from tests.report.test_run_page import Page

Pochi = Callable[..., Any]


def test_table_of_classes_by_hand() -> None:
    rows = class_rows(["a", "b", "c"], np.array(CONFUSION), [1, 2, 3])
    assert [row.num_val for row in rows] == [8, 8, 4]
    assert [row.recall for row in rows] == [87.5, 75.0, 100.0]
    assert rows[1].recall_interval == wilson_interval(6, 8)
    assert rows[0].precision == pytest.approx(100 * 7 / 9)
    assert rows[0].f1 == pytest.approx(100 * 14 / 17)
    (empty,) = class_rows(["a"], np.zeros((1, 1), np.int64), None)
    assert (empty.recall, empty.precision, empty.f1, empty.num_train) == (None, None, None, None)


def test_worst_pairs_by_hand() -> None:
    pairs = worst_pairs(np.array(CONFUSION))
    assert [(p.true, p.predicted, p.count, p.share) for p in pairs] == [
        (1, 0, 2, 25.0),
        (0, 1, 1, 12.5),
    ]


def test_of_many_classes_those_are_shown_that_are_mixed_up() -> None:
    confusion = 10 * np.eye(120, dtype=np.int64)
    confusion[7, 100], confusion[100, 7], confusion[3, 4] = 5, 4, 3
    matrix = shown_matrix(confusion, worst_pairs(confusion))
    assert matrix.classes == [3, 4, 7, 100] and not matrix.is_whole
    assert matrix.cells[2] == [(0, 0.0), (0, 0.0), (10, 10 / 15), (5, 5 / 15)]
    everywhere = np.full((120, 120), 1, dtype=np.int64)
    assert len(shown_matrix(everywhere, worst_pairs(everywhere)).classes) <= NUM_PART


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["a/b/1.png", "a/c/2.png"], "a/"),
        (["a/b/1.png"], "a/b/"),
        (["digits[1]", "digits[2]"], ""),
        (["/x/1.png", "y/2.png"], ""),
        (["abc/1.png", "abd/1.png"], ""),
    ],
)
def test_the_folder_that_all_names_begin_with(names: list[str], folder: str) -> None:
    found = common_folder(names)
    assert (found if found != "/" else "") == folder


# --- thumbnails ----------------------------------------------------------------------------------


def test_thumbnails_keep_to_their_budget_the_first_ones_first() -> None:
    noise = Painted([0] * 50, side_px=100)
    every = make_thumbnails(lambda i, side: noise.load(i), range(50))
    assert list(every) == list(range(50))
    budget = sum(len(every[i]) for i in (9, 3, 5))
    assert list(make_thumbnails(lambda i, side: noise.load(i), [9, 3, 5, 1], budget)) == [9, 3, 5]


def test_a_jpeg_is_decoded_small(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 1200)).save(tmp_path / "a.jpg")
    dataset = Subset(ImageFolderDataset([str(tmp_path / "a.jpg")], [0]), [0])
    assert load_small(dataset, 0, 96).size == (200, 150)
    assert load_small(Painted([0]), 0, 96).size == (40, 40)


# --- settings ------------------------------------------------------------------------------------


def test_what_differs_from_the_defaults(pochi: Pochi, tmp_path: Path) -> None:
    words = ["optimizer=sgd", "optimizer.momentum=0.5", "epochs=7"]
    folder = write_run(tmp_path / "run")
    shown = pochi("--cfg", "job", "--resolve", *words).out
    (folder / "config.yaml").write_text(shown, encoding="utf-8")
    run = read_run(folder)
    wanted = {"optimizer": "sgd", "epochs": "7", "optimizer.momentum": "0.5"}
    assert {row.key: row.value for row in find_differences(run)} == wanted  # of an old directory
    options = default_options() | {"transform": "digits", "optimizer": "sgd"}
    run.choices = options | {"strategy": "finetune"}
    found = find_differences(run)
    assert {row.key: row.value for row in found} == wanted | {"strategy": "finetune"}
    assert [row.key for row in found if row.is_option] == ["optimizer", "strategy"]


# --- searches and multiruns ----------------------------------------------------------------------


def write_search(folder: Path) -> Path:
    folder.mkdir()
    write_run(folder / "trial_0000")
    write_run(folder / "trial_0001" / "repeat_0")
    (folder / "trial_0001" / "repeat_0" / "report.html").write_text("")
    trial = {"state": "COMPLETE", "epochs": 3, "datetime_start": "2026-01-01T00:00:00",
             "datetime_complete": "2026-01-01T00:00:30"}  # fmt: skip
    trials = [
        {**trial, "number": 0, "value": 70.0, "params": {"lr": 0.01, "optimizer": "<b>SGD"}},
        {**trial, "number": 1, "value": 85.0, "params": {"lr": 0.0001, "optimizer": "Adam"}},
        {**trial, "number": 2, "value": 10.0, "params": {"lr": 0.5}, "state": "PRUNED"},
        {**trial, "number": 3, "value": None, "params": {"lr": 0.5}, "state": "FAIL",
         "datetime_complete": None, "reason": "<script>boom"},
    ]  # fmt: skip
    (folder / "trials_history.json").write_text(json.dumps(trials))
    statistics = {
        "n_completed": 2,
        "n_pruned": 1,
        "n_failed": 1,
        "mean": 77.5,
        "std": 7.5,
        "worst": 70.0,
        "seconds_spent": 90.0,
        "seconds_saved_by_pruning": 12.0,
    }
    content = {
        "direction": "maximize",
        "statistics": statistics,
        "param_importances": {"lr": 0.9, "optimizer": 0.1},
    }
    (folder / "study_statistics.json").write_text(json.dumps(content))
    best = {"best_value": 85.0, "best_trial": 1, "best_params": {"lr": 0.0001}}
    (folder / "best_params.json").write_text(json.dumps(best))
    (folder / "optimized.yaml").write_text("lr: 0.0001\n")
    return folder


@pytest.mark.parametrize("language", ["en", "ja"])
def test_page_of_a_search(tmp_path: Path, language: str) -> None:
    text = make_search_page(read_search(write_search(tmp_path / "search")), language)
    page = Page(text)
    assert "<b>SGD" not in text and "<script>boom" not in text and "&lt;script&gt;boom" in text
    assert "85.00 %" in page.text
    links = [a["href"] for a in page.all("a") if "trial_" in (a["href"] or "")]
    assert links == ["trial_0000", "trial_0001/repeat_0/report.html"]
    seconds = [a["data-value"] for a in page.all("td") if "data-value" in a]
    assert "30.0" in seconds
    assert "optimized_config.py epochs=50" in page.text  # can be typed as it is
    assert len([a for _, a in page.tags if "trial" in (a.get("class") or "").split()]) == 2


def test_page_of_a_search_without_results(tmp_path: Path) -> None:
    (tmp_path / "trials_history.json").write_text("[]")
    text = Page(make_search_page(read_search(tmp_path), "en")).text
    assert "No trial has been completed." in text and "no usable best_params.json" in text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("best_params.json", '{"best_value": "much", "best_trial": 1}'),
        ("trials_history.json", '[{"number": "x", "params": [1], "value": "a"}]'),
    ],
)
def test_files_of_a_search_that_were_changed(
    pochi: Callable[..., Any], tmp_path: Path, file: str, content: str
) -> None:
    (write_search(tmp_path / "search") / file).write_text(content)
    outcome = pochi("search", command="report", prog="pochi")
    assert outcome.code == 2
    assert outcome.err.startswith("RUN must be a search whose files are as it has written them")
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "search" / "report.html").exists()


def test_runs_of_a_setting_together(tmp_path: Path) -> None:
    grid = tmp_path / "grid"
    for i, (rate, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0)]):
        write_run(grid / f"run {i}", learning_rate=rate, seed=seed)
    table = (grid / "run 1" / "confusion_matrix.csv").read_text()
    (grid / "run 1" / "confusion_matrix.csv").write_text(table.replace("7,1,0", "8,0,0"))
    (grid / "run 2" / "confusion_matrix.csv").unlink()
    (grid / "run 0" / "report.html").write_text("")
    settings, keys = read_grid(grid, find_grid(grid))
    assert keys == ["learning_rate"]
    first, last = settings
    assert first.values == ["0.1"] and first.mean == pytest.approx(87.5)
    assert first.spread == pytest.approx(2.5 * 2**0.5)
    assert last.mean is None and last.spread is None
    page = Page(make_multirun_page(grid, find_grid(grid), "en"))
    assert "87.50 ± 3.54" in page.text and "run 2 has no validation result" in page.text
    links = [a["href"] for a in page.all("a")]
    assert links == ["run%200/report.html", "run%201", "run%202"]


def test_folds_count_as_runs_of_one_setting(tmp_path: Path) -> None:
    for fold in range(2):
        write_run(tmp_path / f"{fold}", data={"num_folds": 2, "fold": fold})
    settings, keys = read_grid(tmp_path, find_grid(tmp_path))
    assert len(settings) == 1 and keys == []
    assert [run.fold for run in settings[0].runs] == [0, 1]


# --- the command, and the end of a training ------------------------------------------------------


def test_the_command_writes_all_three_kinds(pochi: Pochi, tmp_path: Path) -> None:
    write_run(tmp_path / "grid" / "a")
    write_run(tmp_path / "grid" / "b", seed=6)
    write_search(tmp_path / "search")
    outcome = pochi("grid/a", "grid", "search", "--language", "ja", command="report", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert [line.split()[-1] for line in outcome.out.splitlines()] == [
        "grid/a/report.html",
        "grid/report.html",
        "search/report.html",
    ]
    for name in ("grid/a", "grid", "search"):
        text = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert '<html lang="ja">' in text
    # Without its model the pictures cannot be found, but what it said is there.
    text = Page((tmp_path / "grid" / "a" / "report.html").read_text(encoding="utf-8")).text
    assert "85.00 %" in text and "画像がありません" in text


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (None, ReportConfig()),  # of an earlier version
        ({"language": "ja", "max_pictures": 3}, ReportConfig(language="ja", max_pictures=3)),
        ({"language": 5, "max_pictures": 3}, ReportConfig()),
        ({"language": "ja", "later": 1}, ReportConfig(language="ja")),
        ([1], ReportConfig()),
    ],
)
def test_settings_of_the_run(tmp_path: Path, node: Any, found: ReportConfig) -> None:
    assert own_settings(read_run(write_run(tmp_path / "run", report=node))) == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "The following arguments are required: RUN"),
        (["nowhere"], "got 'nowhere', which is not there."),
        (["."], "got '.', a folder without runs."),
        (["--language", "fr", "."], "invalid choice: 'fr'"),
        (["--max-pictures", "-1", "."], "must be an integer >= 0, got '-1'"),
    ],
)
def test_nothing_to_show(pochi: Pochi, words: list[str], message: str) -> None:
    outcome = pochi(*words, command="report", prog="pochi")
    assert outcome.code == 2 and message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_page_that_cannot_be_made_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Painted([true for true, _, _ in answers_in_order()])
    splits = DataSplits(data, data, ["a", "b", "c"], [])
    folder = write_run(tmp_path / "run")
    report_training(folder, splits, open_console())
    assert "data:image/" in (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").unlink()

    def fail(*_: object) -> str:
        raise ValueError("no way")

    monkeypatch.setattr(module, "make_run_page", fail)
    report_training(folder, splits, open_console())
    assert "Warning: report.html could not be made (ValueError: no way)." in capsys.readouterr().out
    assert not (folder / "report.html").exists()
