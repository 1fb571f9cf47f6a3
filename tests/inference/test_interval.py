"""Which scores of an inference get an interval, and by which groups."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import checkpoint_content

from pochitrain.data.dataset import groups_of
from pochitrain.data.folder import open_folder
from pochitrain.inference.classifier import load_classifier
from pochitrain.inference.interval import compute_intervals
from pochitrain.inference.score import ON_PREDICTIONS, score
from pochitrain.inference.source import open_source
from pochitrain.metric.interval import wilson_interval
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import top_k_accuracy
from pochitrain.run.summary import describe_validation

NAMES = ["ant", "bee", "cat"]


def answers(num: int) -> tuple[Any, Any]:
    """Probabilities and classes; five of six right."""
    labels = np.arange(num) % 3
    said = np.where(np.arange(num) % 6 == 0, (labels + 1) % 3, labels)
    return 0.1 + 0.7 * np.eye(3)[said], labels


def test_every_headline_score_has_an_interval_that_holds_it() -> None:
    chances, labels = answers(120)
    metrics = [*ON_PREDICTIONS, top_k_accuracy(2)]
    scores = score(chances, labels, NAMES, 2, metrics)
    found = compute_intervals(chances, labels, scores)
    summary = scores.summary()
    left_out = {"expected_calibration_error", "macro_precision", "macro_recall"}
    assert found.of.keys() == summary.keys() - left_out
    for name, interval in found.of.items():
        assert interval is not None, name
        assert interval.low <= summary[name] <= interval.high, name
    assert found.of["accuracy"] == wilson_interval(100, 120)
    assert found.summary()["interval_groups"] is None
    assert "groups" not in found.describe()


def test_by_groups() -> None:
    chances, labels = answers(120)
    scores = score(chances, labels, NAMES, metrics=ON_PREDICTIONS)
    # All of a group are right or wrong together: they count as one.
    groups = np.where(np.arange(120) % 6 == 0, np.arange(120) // 60, 2 + np.arange(120) % 10)
    found = compute_intervals(chances, labels, scores, groups.astype(str))
    by_pictures = compute_intervals(chances, labels, scores)
    wide, narrow = found.of["accuracy"], by_pictures.of["accuracy"]
    assert wide is not None and narrow is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert found.summary()["interval_groups"] == len(np.unique(groups))
    assert "which are few" in found.describe()


def test_a_metric_of_the_users_that_fails_takes_only_itself_along() -> None:
    def fails(evaluation: Any) -> float:
        if evaluation.confusion.sum(axis=1).min() < 4:
            raise ZeroDivisionError
        return float(evaluation.confusion[0, 0])

    chances, labels = answers(24)
    metrics = [*ON_PREDICTIONS, Metric("first", lambda e: float(e.confusion[0, 0])),
               Metric("mine", fails)]  # fmt: skip
    found = compute_intervals(chances, labels, score(chances, labels, NAMES, metrics=metrics))
    assert found.of["mine"] is None
    assert found.of["first"] is not None and found.of["mcc"] is not None
    assert found.summary()["intervals_95"]["mine"] is None


@pytest.fixture
def scans(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    """Pictures p0_0.png, p0_1.png, p1_2.png, ...: two of each patient."""
    root = make_folder(tmp_path / "scans", {"ant": 12, "bee": 12})
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"{path.parent.name}{int(path.stem) // 2}_{path.stem}.png"))
    return root


def test_the_groups_of_a_split_go_with_its_pictures(scans: Path) -> None:
    data = open_folder(train_root=str(scans), val_fraction=0.5, group_by=r"([a-z]+\d+)_")
    assert data.val is not None
    groups = groups_of(data.val)
    assert groups is not None
    names = [Path(data.val.name(i)).name.partition("_")[0] for i in range(len(data.val))]
    assert groups.tolist() == names
    others = groups_of(data.train)
    assert others is not None and not {*groups.tolist()} & {*others.tolist()}
    plain = open_folder(train_root=str(scans), val_fraction=0.5)
    assert plain.val is not None and groups_of(plain.val) is None


def test_other_pictures_are_grouped_by_the_rule_of_the_run(
    scans: Path, make_run: Callable[..., Path], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    content = checkpoint_content(["ant", "bee"])
    content["config"]["data"]["group_by"] = r"([a-z]+\d+)_"
    classifier = load_classifier(make_run([], content), "cpu")
    groups = open_source(classifier, str(scans)).groups
    assert groups is not None
    assert len({*groups.tolist()}) == 12
    other = make_folder(tmp_path / "other", {"ant": 2})  # 000.png has no patient
    assert open_source(classifier, str(other)).groups is None


@pytest.mark.parametrize("with_patients", [True, False])
def test_a_table_is_grouped_by_its_column(
    scans: Path, make_run: Callable[..., Path], tmp_path: Path, with_patients: bool
) -> None:
    content = checkpoint_content(["ant", "bee"])
    content["config"]["data"]["group_by"] = "patient"
    classifier = load_classifier(make_run([], content), "cpu")
    head = "path,label,patient" if with_patients else "path,label,day"
    rows = [f"{p},{p.parent.name},{p.name[:4]}" for p in sorted(scans.rglob("*.png"))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join([head, *rows]))
    groups = open_source(classifier, str(table)).groups
    if with_patients:
        assert groups is not None
        assert groups.tolist() == [row.rpartition(",")[2] for row in rows]
    else:
        assert groups is None


def state(confusion: list[list[int]] | None, epoch: int) -> Any:
    matrix = None if confusion is None else torch.tensor(confusion)
    return SimpleNamespace(best=SimpleNamespace(confusion=matrix), epoch=epoch)


def test_the_summary_of_a_run_names_its_optimism() -> None:
    text = describe_validation(state([[40, 10], [5, 45]], 20), has_groups=False)
    assert text == (
        "Validation accuracy 85.00 % on 100 pictures (95 % interval 76.72 to 90.69 %); best of 20 "
        "epochs, chosen on these pictures: a little too good"
    )
    once = describe_validation(state([[40, 10], [5, 45]], 1), has_groups=False)
    assert once.endswith("(95 % interval 76.72 to 90.69 %)")
    assert "pochi infer RUN" in describe_validation(state([[1, 0], [0, 1]], 2), has_groups=True)
    assert describe_validation(state(None, 2), has_groups=False) == ""
