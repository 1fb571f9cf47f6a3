"""What a search says about itself, from studies that nobody trained for."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from pochitrain.console import PrintableConsole
from pochitrain.search.page import write_pages
from pochitrain.search.result import compute_importances, count_seconds
from pochitrain.search.terminal import SearchTerminal
from pochitrain.sweep.heartbeat import KILLED, REASON


def study_of(*values: float, names: str = "x") -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for i, value in enumerate(values):
        params = dict.fromkeys(names, 0.1 + 0.123456 * i)
        spaces: dict[str, Any] = dict.fromkeys(names, FloatDistribution(0.0, 1.0))
        study.add_trial(create_trial(value=value, params=params, distributions=spaces))
    return study


@pytest.mark.parametrize("values", [(), (50.0,), (50.0, 50.0, 50.0)])
def test_trials_that_say_nothing_have_no_importances(values: tuple[float, ...]) -> None:
    assert compute_importances(study_of(*values, names="xy")) == {}


def test_importances_add_up_to_one() -> None:
    found = compute_importances(study_of(1.0, 2.0, 4.0, 3.0, names="xy"))
    assert set(found) == {"x", "y"} and sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("width", "expected"), [(100, "┃ trial ┃"), (40, "trial   1  70.0000  x=0.22")]
)
def test_the_best_trials_can_be_read_in_a_narrow_terminal(
    width: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_of(50.0, 70.0, names="xyz")
    terminal = SearchTerminal(study, "val_accuracy", lambda name, value: value)
    terminal.console = PrintableConsole(width=width, soft_wrap=True)
    terminal.print_best()
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(("metric", "is_said"), [("val_accuracy", True), ("train_loss", False)])
def test_a_search_says_from_how_many_values_it_has_chosen(
    metric: str, is_said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    study = optuna.create_study(direction="maximize")
    for epochs in (3, 1, 2):
        trial = study.ask()
        for epoch in range(epochs):
            trial.report(50.0, epoch)
        study.tell(trial, 50.0)
    SearchTerminal(study, metric, lambda name, value: value).print_end({}, "Test it.")
    text = "chosen from 6 (the epochs of 3 trials), all on the same validation pictures"
    out = capsys.readouterr().out
    assert (text in out and "too good. Test it.\n" in out) == is_said


@pytest.mark.parametrize("states", ["", "F", "PF", "C", "CPC"])
def test_there_are_always_three_pages(states: str, tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    kinds = {"F": TrialState.FAIL, "P": TrialState.PRUNED, "C": TrialState.COMPLETE}
    for i, letter in enumerate(states):
        params = {"x": 0.1 * i}
        spaces: Any = {"x": FloatDistribution(0.0, 1.0)}
        value = None if letter == "F" else 50.0 + i
        study.add_trial(
            create_trial(state=kinds[letter], value=value, params=params, distributions=spaces)
        )
    pages = write_pages(study, tmp_path, compute_importances(study), "val_accuracy (%)")
    assert [page.stem for page in pages] == ["optimization_history", "param_importances", "contour"]
    nothing = "No trial has been completed" in (tmp_path / "contour.html").read_text()
    assert nothing == ("C" not in states)


def test_a_killed_trial_has_no_duration() -> None:
    """It was marked when the next search began, which may be a day later."""
    study = optuna.create_study()
    day = timedelta(days=1)
    for reason in (KILLED, "NaN"):
        trial = create_trial(state=TrialState.FAIL, user_attrs={REASON: reason})
        trial.datetime_start, trial.datetime_complete = datetime.now() - day, datetime.now()
        study.add_trial(trial)
    assert count_seconds(study)[0] == pytest.approx(day.total_seconds(), rel=1e-3)
