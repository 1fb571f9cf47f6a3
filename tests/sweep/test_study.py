"""What a search does with the trials that it finds in a study."""

import shutil
import threading
import uuid
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from pochitrain.sweep.heartbeat import KILLED, OWNER, REASON, Heartbeat
from pochitrain.sweep.sampler import ResumableGridSampler
from pochitrain.sweep.search_space import SearchSpace
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.storage import open_storage
from pochitrain.sweep.study import NOT_NEEDED, StudyWork

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


def running(work: StudyWork) -> int:
    """Create a trial as `ask` does, up to the question whether it is needed."""
    trial = work.study.ask(SPACE)
    trial.set_user_attr(OWNER, work.token)
    return trial.number


def two_searches(n_trials: int) -> tuple[StudyWork, StudyWork]:
    study = optuna.create_study()
    works = work_on(study, n_trials), work_on(study, n_trials)
    for work in works:
        Heartbeat(work.watch).beat()
        work.begin()
    return works


def test_of_two_that_ask_at_the_same_time_one_stays() -> None:
    """Not none, which would leave the study one short."""
    first, second = two_searches(n_trials=1)
    numbers = running(first), running(second)
    assert first.is_needed(numbers[0])
    assert not second.is_needed(numbers[1])
    assert second.ask() is None
    assert second.num_elsewhere() == 1, "it waits, in case that the first one dies"
    first.study.tell(numbers[0], 1.0)
    assert second.num_elsewhere() == 0


def test_a_trial_whose_owner_is_not_written_yet_counts() -> None:
    first, second = two_searches(n_trials=1)
    first.study.ask(SPACE)
    assert not second.is_needed(running(second))


def test_a_queued_trial_gives_way_to_a_newer_one() -> None:
    """Its number is lower, but the newer one has not seen it running."""
    first, second = two_searches(n_trials=1)
    first.study.enqueue_trial({"x": 0.5})
    waiting = first.study.trials[0]
    newer = first.study._storage.create_new_trial(first.study._study_id)
    assert newer == 1 and waiting.state == TrialState.WAITING
    assert first.is_needed(newer)
    queued = running(second)
    assert queued == 0 and not second.is_needed(queued)


def test_two_searches_find_the_same_killed_trial() -> None:
    study = killed_study(num_done=0, num_killed=1)
    first, second = work_on(study, 3), work_on(study, 3)
    stale = study.trials[0]
    assert first.watch.is_stale(stale) and second.watch.is_stale(stale)
    first.begin()
    second.begin()
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.WAITING], "queued by one of them only"


def test_parameters_that_were_queued_twice_are_tried_once() -> None:
    """The answer to the first attempt to queue them was lost."""
    study = killed_study(num_done=0, num_killed=1)
    work = work_on(study, 5)
    work.begin()
    work.retry(study.trials[0])
    Heartbeat(work.watch).beat()
    assert work.ask() is not None
    assert work.ask() is None
    reasons = [trial.user_attrs.get(REASON) for trial in study.trials]
    assert reasons == [KILLED, None, NOT_NEEDED]


def test_nothing_is_left_in_the_queue_of_a_complete_study() -> None:
    study = killed_study(num_done=2, num_killed=1)
    work = work_on(study, 3)
    work.begin()
    study.tell(study._storage.create_new_trial(study._study_id), 1.0)
    assert study.trials[3].state == TrialState.WAITING
    work.end()
    assert study.trials[3].state == TrialState.FAIL


def ask_points(path: str, count: int) -> None:
    storage = open_storage(f"journal://{path}")
    sampler = ResumableGridSampler({"x": list(range(12))})
    study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
    for _ in range(count):
        study.ask().suggest_categorical("x", list(range(12)))


def test_searches_on_a_grid_choose_different_points(tmp_path: Path) -> None:
    path = str(tmp_path / "s.journal")
    study = optuna.create_study(study_name="s", storage=open_storage(f"journal://{path}"))
    threads = [threading.Thread(target=ask_points, args=(path, 3)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(trial.params["x"] for trial in study.trials) == list(range(12))


def test_the_heartbeat_of_a_study_that_was_discarded_ends_in_silence(tmp_path: Path) -> None:
    """Wrong input in the first trial removes the directory of the search, with its journal."""
    folder = tmp_path / "results"
    folder.mkdir()
    storage = open_storage(f"journal://{folder}/optuna.journal")
    study = optuna.create_study(storage=storage)
    with Heartbeat(work_on(study, 1).watch):
        shutil.rmtree(folder)
    assert not folder.exists()
