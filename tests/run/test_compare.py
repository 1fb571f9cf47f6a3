"""`pochi compare`: which differences are found, and which are called chance."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pochitrain.error import ConfigError
from pochitrain.run.compare.compare import make_result
from pochitrain.run.compare.comparison import compare, compare_seeds, compare_settings
from pochitrain.run.compare.entry import Entry, load_folds
from pochitrain.run.compare.find import find_runs
from pochitrain.run.compare.row import make_row
from pochitrain.run.compare.setting import Setting, differences, group_by_setting
from pochitrain.run.compare.text import describe, describe_seeds
from pochitrain.run.judge import Predictions

NAMES = ["ant", "bee", "cat", "dog"]
Bools = NDArray[np.bool_]


def entry(
    name: str,
    right: Bools,
    labels: Sequence[int] | None = None,
    pictures: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    names: list[str] = NAMES,
    **config: Any,
) -> Entry:
    """A run that has some pictures right, and says the next class for the others."""
    truth = np.arange(len(right)) % len(names) if labels is None else np.array(labels)
    said = np.where(right, truth, (truth + 1) % len(names))
    found = Predictions(names, truth, np.eye(len(names))[said])
    paths = [f"{i}.png" for i in range(len(right))] if pictures is None else list(pictures)
    known = None if groups is None else np.array(groups)
    return Entry(name, Path(name), dict(config), 10, 7, "finished", found, paths, known)


def alone(label: str, run: Entry) -> Setting:
    return Setting(label, [run])


def right(num: int, shares: Sequence[float], seed: int = 0) -> list[Bools]:
    """Whether each of some systems is right on each picture; errors mostly on the same ones."""
    hard = np.random.default_rng(seed).random(num)
    noise = np.random.default_rng(seed + 1).random((len(shares), num))
    order = 0.7 * hard + 0.3 * noise
    return [row <= np.quantile(row, share) for row, share in zip(order, shares, strict=True)]


def test_three_points_on_a_thousand_pictures_are_found() -> None:
    good, bad = right(1000, [0.93, 0.90])
    assert (good.mean(), bad.mean()) == (0.93, 0.9)
    found = compare(alone("A", entry("a", good)), alone("B", entry("b", bad)))
    assert found.is_significant
    assert found.gap == pytest.approx(3.0)
    interval = found.differences[0].interval
    assert interval is not None and 0 < interval.low < 3 < interval.high
    assert len(found.only_first) - len(found.only_second) == 30
    assert "A is better than B (+3.00 points" in describe(found)
    assert "Mc" in found.test


def test_the_same_accuracy_on_other_pictures_is_no_difference() -> None:
    first, second = right(1000, [0.92, 0.92])
    assert (first != second).any()
    found = compare(alone("A", entry("a", first)), alone("B", entry("b", second)))
    assert not found.is_significant
    assert "A and B are not significantly different" in describe(found)


def test_chance_is_called_a_difference_in_one_of_twenty_cases_at_most() -> None:
    found = [
        compare(alone("A", entry("a", one)), alone("B", entry("b", other))).is_significant
        for seed in range(60)
        for generator in [np.random.default_rng(seed)]
        for one, other in [generator.random((2, 200)) < 0.9]
    ]
    assert sum(found) <= 7  # 60 * 0.05 = 3 are expected; more than 7 happens in 1 of 50 cases


def test_runs_that_differ_by_their_seed_are_one_setting() -> None:
    runs = [
        entry("a", np.ones(40, bool), seed=1, data={"seed": 1, "num_workers": 2}, lr=0.1),
        entry("b", np.ones(40, bool), seed=2, data={"seed": 2, "num_workers": 4}, lr=0.1),
        entry("c", np.ones(40, bool), seed=2, data={"seed": 1}, lr=0.1, work_dir="elsewhere"),
        entry("d", np.ones(40, bool), seed=1, data={"seed": 1}, lr=0.2),
    ]
    settings = group_by_setting(runs)
    assert [[run.name for run in s.entries] for s in settings] == [["a", "b", "c"], ["d"]]
    assert [s.label for s in settings] == ["A", "B"]
    assert differences(settings) == {"lr": ["0.1", "0.2"]}


def test_two_seeds_of_one_config() -> None:
    first, second = right(359, [0.95, 0.935])
    (setting,) = group_by_setting([entry("a", first, seed=1), entry("b", second, seed=2)])
    found = compare_seeds(setting)
    assert found is not None and not found.is_significant
    text = describe_seeds(setting, found)
    assert "2 runs that differ by nothing but their seed" in text
    assert "94.15 ± 1.18 %" in text  # 341 and 335 of 359: their mean, and 1.67 / sqrt(2)
    assert "not significantly different" in text


def test_noise_of_seeds_is_not_taken_for_progress() -> None:
    """The pictures alone say that B is worse, but single runs of A differ as much."""
    runs = right(4000, [0.95, 0.91, 0.92, 0.89])
    first = Setting("A", [entry("a1", runs[0]), entry("a2", runs[1])])
    second = Setting("B", [entry("b1", runs[2]), entry("b2", runs[3])])
    found = compare(first, second)
    assert found.differences[0].p < 0.01
    assert found.p_seeds is not None and found.p_seeds > 0.05
    assert not found.is_significant
    assert "the noise between so few runs could explain it" in describe(found)
    # With seeds that agree, the same means are a difference.
    steady = right(4000, [0.931, 0.929, 0.906, 0.904])
    first = Setting("A", [entry(f"a{i}", row) for i, row in enumerate(steady[:2])])
    second = Setting("B", [entry(f"b{i}", row) for i, row in enumerate(steady[2:])])
    assert compare(first, second).is_significant


def test_other_metrics_are_compared_on_the_same_draws() -> None:
    good, bad = right(1000, [0.93, 0.90])
    found = compare(alone("A", entry("a", good)), alone("B", entry("b", bad)))
    by_name = {one.metric.name: one for one in found.differences}
    assert {"val_balanced_accuracy", "val_macro_f1", "val_mcc"} <= by_name.keys()
    for name in ("val_balanced_accuracy", "val_macro_f1", "val_mcc"):
        interval = by_name[name].interval
        assert interval is not None and 0 < interval.low < by_name[name].value < interval.high
        assert by_name[name].p < 0.05


def test_different_pictures() -> None:
    good, bad = right(100, [0.95, 0.90])
    shifted = [f"{i + 60}.png" for i in range(100)]
    labels = (np.arange(100) + 60) % 4
    found = compare(alone("A", entry("a", good)), alone("B", entry("b", bad, labels, shifted)))
    assert found.num_pictures == 40
    assert "compared on the 40 of 160 that both have" in found.note
    far = [f"{i + 80}.png" for i in range(100)]
    found = compare(alone("A", entry("a", good)), alone("B", entry("b", bad, pictures=far)))
    assert found.p is None and not found.differences
    assert "only 20 validation pictures in common" in describe(found)


def test_runs_of_a_setting_share_their_pictures() -> None:
    """With a split of its own for each seed, a picture counts where a run of both has seen it."""
    halves = [[f"{i}.png" for i in range(50)], [f"{i}.png" for i in range(48, 98)]]
    labels = [np.arange(50) % 4, np.arange(48, 98) % 4]
    ok = np.ones(50, bool)
    sides = [
        Setting(label, [entry(f"{label}{i}", ok, labels[i], halves[i]) for i in range(2)])
        for label in "AB"
    ]
    found = compare(*sides)
    assert found.num_pictures == 98
    assert found.p == 1


def test_other_classes_and_other_labels() -> None:
    ok = np.ones(60, bool)
    names = ["ant", "bee", "cat", "eel"]
    found = compare(alone("A", entry("a", ok)), alone("B", entry("b", ok, names=names)))
    assert "their classes differ" in describe(found)
    changed = np.arange(60) % 4
    changed[:3] = 3
    found = compare(alone("A", entry("a", ok)), alone("B", entry("b", ok, changed)))
    assert found.num_pictures == 57
    assert "3 pictures have another class" in found.note


def test_pictures_of_a_group_count_once() -> None:
    """Ten pictures of each of 12 patients that are right or wrong together prove nothing."""
    groups = np.repeat(np.arange(12), 10).astype(str).tolist()
    good = np.repeat(np.arange(12) < 11, 10)
    bad = np.repeat(np.arange(12) < 10, 10)
    independent = compare(alone("A", entry("a", good)), alone("B", entry("b", bad)))
    assert independent.is_significant
    first = alone("A", entry("a", good, groups=groups))
    found = compare(first, alone("B", entry("b", bad, groups=groups)))
    assert not found.is_significant
    assert "12 groups" in found.test


def test_the_best_against_all_others_is_corrected() -> None:
    rows = right(1000, [0.93, 0.915, 0.914, 0.913])
    settings = [alone(label, entry(label, row)) for label, row in zip("ABCD", rows, strict=True)]
    found = compare_settings(settings)
    assert [(one.first, one.second) for one in found] == [("A", "B"), ("A", "C"), ("A", "D")]
    for one in found:
        by_itself = compare(settings[0], settings["ABCD".index(one.second)])
        assert one.p is not None and by_itself.p is not None
        assert one.p >= by_itself.p
    assert min(one.p or 0 for one in found) >= 3 * min(
        compare(settings[0], other).p or 0 for other in settings[1:]
    )


def test_without_predictions_the_confusion_matrix_is_what_remains(tmp_path: Path) -> None:
    (tmp_path / "confusion_matrix.csv").write_text("true_class,a,b\na,40,10\nb,5,45\n")
    run = Entry("r", tmp_path, {}, 3, 2, "finished", None, note="the pictures have moved.")
    row = make_row(run, "A")
    values = {metric.name: value for metric, (value, _) in row.values.items()}
    assert row.num_pictures == 100
    assert values["val_accuracy"] == 85
    assert values["val_balanced_accuracy"] == pytest.approx(85)
    intervals = {metric.name: interval for metric, (_, interval) in row.values.items()}
    assert intervals["val_accuracy"] is not None
    assert (intervals["val_accuracy"].low, intervals["val_accuracy"].high) == pytest.approx(
        (76.72, 90.69), abs=0.01
    )
    result = make_result([run, entry("a", np.ones(50, bool))], [])
    assert result.notes == ["r: the pictures have moved"]


def test_runs_are_found_in_folders(tmp_path: Path) -> None:
    for name in ("20260101_001", "20260101_002", "deep/20260101_003", "20260101_004"):
        run = tmp_path / name
        (run / "models").mkdir(parents=True)
        (run / "config.yaml").write_text("epochs: 1\n")
        if not name.endswith("004"):
            (run / "models" / "best.pth").write_bytes(b"")
    found, notes = find_runs([str(tmp_path)])
    assert [path.name for path in found] == ["20260101_001", "20260101_002", "20260101_003"]
    assert len(notes) == 1 and "20260101_004" in notes[0]
    best = tmp_path / "20260101_001" / "models" / "best.pth"
    with pytest.raises(ConfigError, match="at least two runs"):
        find_runs([str(best), str(best.parent.parent)])
    with pytest.raises(ConfigError, match=r"without models/best\.pth"):
        find_runs([str(tmp_path / "20260101_004"), str(best)])
    with pytest.raises(ConfigError, match="not there"):
        find_runs([str(tmp_path / "no"), str(best)])


def test_a_cross_validation_is_one_entry(tmp_path: Path) -> None:
    """Its pictures are those of all folds; its parts are not listed again."""
    parts = [tmp_path / f"20260101_00{i}" for i in (1, 2)]
    for fold, run in enumerate(parts):
        (run / "models").mkdir(parents=True)
        (run / "models" / "best.pth").write_bytes(b"")
        data = f"{{num_folds: 2, fold: {fold}, seed: 5}}"
        (run / "config.yaml").write_text(f"epochs: 1\nseed: 5\nlr: 0.1\ndata: {data}\n")
    single = tmp_path / "20260101_003"
    shutil.copytree(parts[0], single)
    folds = tmp_path / "folds"
    folds.mkdir()
    named = [{"fold": i, "run": f"elsewhere/{run.name}"} for i, run in enumerate(parts)]
    (folds / "folds.json").write_text(json.dumps({"folds": named}))
    header = "image_path,fold,true,true_class,predicted,predicted_class,correct,p_a,p_b\n"
    rows = "".join(
        f"x{i}.png,{i % 2},0,a,{int(i < 3)},{'ab'[i < 3]},{i >= 3},{0.9 - 0.8 * (i < 3)},"
        f"{0.1 + 0.8 * (i < 3)}\n"
        for i in range(10)
    )
    (folds / "out_of_fold.csv").write_text(header + rows)
    found, _ = find_runs([str(tmp_path)])
    assert [path.name for path in found] == ["20260101_003", "folds"]
    whole = load_folds(folds, "folds")
    assert whole.accuracy == 70
    assert whole.pictures == [f"x{i}.png" for i in range(10)]
    assert whole.config["data"] == {"num_folds": 2, "seed": 5}
    assert whole.status == "2 folds"
    values = {m.name: value for m, (value, _) in make_row(whole, "A").values.items()}
    assert values["val_accuracy"] == 70
