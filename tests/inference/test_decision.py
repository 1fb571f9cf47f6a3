"""Unknown pictures and sets of classes: bounds against scipy, promises against simulated truth."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from pochitrain.error import ConfigError
from pochitrain.inference.calibration import Calibration, describe_mistakes, reject_rows
from pochitrain.inference.decision import (
    RISK,
    Decision,
    choose_least,
    choose_threshold,
    decide,
    summarize_decision,
    upper_bound,
)
from pochitrain.inference.table import PredictionRow, format_predictions

FILE = Path("best.pth")


def counted(*rows: tuple[float, int, int], images: int = 1000) -> Calibration:
    return Calibration(1.0, images, rows, ((0.5, 0.8), (0.9, 0.3), (0.905, 0.25)))


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    assert upper_bound(0, 100, 1) == pytest.approx(1 - RISK ** (1 / 100))
    for errors, accepted in ((3, 50), (40, 41), (7, 7)):
        exact = binomtest(errors, accepted).proportion_ci(1 - 2 * RISK, "exact").high
        assert upper_bound(errors, accepted, 1) == pytest.approx(exact)
    half = binomtest(3, 50).proportion_ci(1 - RISK, "exact").high
    assert upper_bound(3, 50, 2) == pytest.approx(half)


def test_the_lowest_threshold_that_keeps_the_promise_is_chosen() -> None:
    known = counted((0.0, 1000, 60), (0.5, 900, 30), (0.7, 800, 8), (0.9, 700, 1))
    # Upper bounds at a risk of 5 % / 4: 7.9 %, 4.9 %, 2.1 %, 0.9 %.
    assert choose_threshold(known, 0.08) == 0.0
    assert choose_threshold(known, 0.05) == 0.5
    assert choose_threshold(known, 0.03) == 0.7
    assert choose_threshold(known, 0.01) == 0.9


def test_few_pictures_are_not_divided_among_many_thresholds() -> None:
    """300 without a mistake show 1 % if they are all that is looked at: 0.05 ** (1 / 300)."""
    known = counted((0.0, 300, 0), (0.5, 250, 0), (0.9, 100, 0), images=300)
    assert choose_threshold(known, 0.01) == 0.0


def test_what_cannot_be_promised_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes at least 299 pictures, and .* on 100"):
        choose_threshold(counted((0.0, 100, 0), images=100), 0.01)
    with pytest.raises(ConfigError, match=r"got 1.00%: the lowest that .* is \d.\d\d%"):
        choose_threshold(counted((0.0, 1000, 90), (0.9, 500, 30)), 0.01)
    message = ""
    try:
        choose_threshold(counted((0.0, 1000, 90), (0.9, 500, 30)), 0.01)
    except ConfigError as error:
        message = str(error)
    (lowest,) = re.findall(r"is (\d+\.\d+)%", message)
    assert choose_threshold(counted((0.0, 1000, 90), (0.9, 500, 30)), float(lowest) / 100) == 0.9


def test_the_promise_is_broken_as_rarely_as_it_says() -> None:
    """A picture of confidence c is wrong with chance 1 - c, and c is uniform in (0.5, 1): above a
    threshold t, (1 - t) / 2 are wrong."""
    generator = np.random.default_rng(0)
    wanted, chosen = 0.15, []
    for _ in range(300):
        confidence = generator.uniform(0.5, 1, 1000)
        wrong = generator.uniform(size=1000) > confidence
        known = Calibration(1.0, 1000, tuple(reject_rows(confidence, wrong)), ())
        try:
            chosen.append(choose_threshold(known, wanted))
        except ConfigError:  # with rare luck; nothing is promised then
            chosen.append(1.0)
    broken = np.mean([(1 - max(t, 0.5)) / 2 > wanted for t in chosen])
    assert broken <= RISK
    assert np.mean(chosen) < 0.85  # of the 60 % that could be accepted, half are


def test_sets_hold_the_true_class_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    held = []
    for _ in range(60):
        chances = generator.dirichlet(np.full(6, 0.4), 800)
        labels = np.array([generator.choice(6, p=row**2 / (row**2).sum()) for row in chances])
        known = describe_mistakes(1.0, chances[:400], labels[:400])
        decision = decide(known, FILE, coverage=0.9)
        rows = zip(chances[400:], labels[400:], strict=True)
        held += [label in (decision.class_set(row.tolist()) or []) for row, label in rows]
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)


def test_a_set_is_never_empty_and_begins_with_the_likeliest() -> None:
    decision = Decision(coverage=0.9, least_probability=0.3)
    assert decision.class_set([0.2, 0.35, 0.45]) == [2, 1]
    assert decision.class_set([0.24, 0.26, 0.25, 0.25]) == [1]
    assert Decision().class_set([1.0]) is None


def test_coverage_between_two_known_ones_is_rounded_up() -> None:
    known = counted((0.0, 1000, 0))
    assert choose_least(known, 0.9) == 0.3
    assert choose_least(known, 0.901) == 0.25
    for coverage in (0.4, 0.95):
        with pytest.raises(ConfigError, match=r"coverage must be from 50% to 90.5%"):
            choose_least(known, coverage)


@pytest.mark.parametrize("name", ["max_error", "coverage"])
def test_wrong_values_and_models_without_a_calibration(name: str) -> None:
    shown = name.replace("_", "-")
    for value in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=f"{shown} must be a share above 0 % and below 100 %"):
            decide(counted((0.0, 1000, 0)), FILE, **{name: value})
    with pytest.raises(ConfigError, match=f"{shown} needs a calibrated model, .*pochi calibrate"):
        decide(None, FILE, **{name: 0.5})
    assert decide(None, FILE) == Decision()


def test_the_summary_by_hand() -> None:
    rows = [
        PredictionRow("a", 0, 0, 0.9, accepted=True, class_set=[0]),
        PredictionRow("b", 1, 0, 0.8, accepted=True, class_set=[1, 0]),
        PredictionRow("c", 1, 0, 0.4, accepted=False, class_set=[1]),
        PredictionRow("d", None, 0, None, "broken"),
    ]
    found = summarize_decision(Decision(0.1, 0.5, 0.9, 0.3), rows)
    assert found["reject"] == {
        "max_error": 0.1,
        "threshold": 0.5,
        "accepted": 2,
        "unknown": 1,
        "error_of_accepted": 0.5,
    }
    assert found["class_sets"]["mean_size"] == pytest.approx(4 / 3)
    assert found["class_sets"]["share_with_true_class"] == pytest.approx(2 / 3)
    assert summarize_decision(Decision(), rows) == {}
    header, *lines = format_predictions(rows, ["x", "y"]).splitlines()
    assert header.endswith("correct,accepted,class_set,error")
    assert [line.partition("00000,")[2] for line in lines[:3]] == [
        'True,True,"[""x""]",',
        'False,True,"[""y"", ""x""]",',
        'False,False,"[""y""]",',
    ]
    assert lines[3] == "d,,,0,x,,,,,broken"
