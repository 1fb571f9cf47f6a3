"""What a search does with the trials that it finds in a study."""

import shutil
import uuid
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from pochitrain.sweep.heartbeat import KILLED, OWNER, REASON, Heartbeat
from pochitrain.sweep.search_space import SearchSpace
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.storage import open_storage
from pochitrain.sweep.study import StudyWork

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def work_on(study: optuna.Study, n_trials: int) -> StudyWork:
    settings = SweepSettings(
        sampler=study.sampler,
        pruner=study.pruner,
        directions=["minimize"],
        storage=None,
        study_name=None,
        n_trials=n_trials,
        n_jobs=1,
        max_failure_rate=0.5,
        custom_search_space=None,
        params=None,
    )
    token = uuid.uuid4().hex
    return StudyWork(study, settings, SearchSpace(dict(SPACE)), token, None, True)


def killed_study(num_done: int, num_killed: int) -> optuna.Study:
    """A study whose search was killed in the middle of `num_killed` trials."""
    study = optuna.create_study()
    for _ in range(num_done):
        study.tell(study.ask(SPACE), 1.0)
    for _ in range(num_killed):
        study.ask(SPACE).set_user_attr(OWNER, "a dead search")
    return study


@pytest.mark.parametrize(
    ("n_trials", "queued"),
    [(2, 0), (1, 0), (3, 1), (9, 2)],
)
def test_only_trials_that_the_study_needs_are_tried_again(n_trials: int, queued: int) -> None:
    """A study that has its total must not keep a WAITING trial."""
    study = killed_study(num_done=2, num_killed=2)
    killed = [trial.params for trial in study.trials[2:]]
    work = work_on(study, n_trials)
    work.begin()
    assert [trial.user_attrs[REASON] for trial in study.trials[2:4]] == [KILLED, KILLED]
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert [trial.system_attrs["fixed_params"] for trial in waiting] == killed[:queued]
    assert work.budget == n_trials - 2
    assert (work.ask() is None) == (n_trials <= 2)


def test_the_heartbeat_of_a_study_that_was_discarded_ends_in_silence(tmp_path: Path) -> None:
    """Wrong input in the first trial removes the directory of the search, with its journal."""
    folder = tmp_path / "results"
    folder.mkdir()
    storage = open_storage(f"journal://{folder}/optuna.journal")
    with Heartbeat(optuna.create_study(storage=storage), "token"):
        shutil.rmtree(folder)
    assert not folder.exists()
