"""Sweeps through every launcher: pruning, resume to a total, jobs that fail, quiet output.

Each search is a process of its own, as a user would start it. SLURM and Ray are real clusters, one
of each for all tests here.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf

from pochitrain.error import ConfigError
from pochitrain.sweep.heartbeat import process_start
from pochitrain.sweep.ray_launcher import RayLauncher
from pochitrain.sweep.storage import open_storage
from tests.slurm_cluster import ClusterError, slurm_cluster
from tests.sweep.postgresql_server import PostgresServer
from tests.sweep.test_signal import hear_ctrl_c

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCHERS = (
    pytest.param("joblib", marks=pytest.mark.long),
    pytest.param("submitit_local", marks=pytest.mark.long),
    "submitit_slurm",
    "ray",
)
pytestmark = pytest.mark.slow

PATIENCE_S = 240.0
Environment = dict[str, str]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Environment]:
    """The environment of commands that use a SLURM of one node."""
    try:
        with slurm_cluster() as cluster:
            yield cluster.environment
    except ClusterError as error:
        pytest.skip(f"no SLURM: {error}")


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """The address of a Ray cluster on this machine."""
    import pochitrain.sweep.ray_launcher  # noqa: F401, I001  # before ray, see there
    import ray

    started = ray.init("local", num_cpus=4, include_dashboard=False, object_store_memory=10**8)
    try:
        yield started.address_info["address"]
    finally:
        ray.shutdown()


@pytest.fixture
def words(launcher: str, request: pytest.FixtureRequest) -> list[str]:
    """The overrides that choose a launcher."""
    chosen = [f"hydra/launcher={launcher}"]
    if launcher == "ray":
        chosen.append(f"hydra.launcher.address={request.getfixturevalue('ray_address')}")
    if launcher == "joblib":
        chosen.append("hydra.launcher.n_jobs=2")
    return chosen


@pytest.fixture
def environment(launcher: str, request: pytest.FixtureRequest) -> Environment:
    extra = request.getfixturevalue("slurm") if launcher == "submitit_slurm" else {}
    return os.environ | extra


def start(environment: Environment, *words: str) -> subprocess.Popen[str]:
    """Start the sphere in a process of its own, which hears Ctrl+C."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sweep.sphere", "--multirun", *words],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the process has printed, once it has ended."""
    output, _ = process.communicate(timeout=PATIENCE_S)
    print(output)
    return output


SPACE = ("x=1.0,0.5,50.0,90.0", "z=a,slow")
QUEUE = (  # in this order, two at a time; after the first two there is something to compare with
    {"x": 1.0, "z": "a"},
    {"x": 1.0, "z": "a"},
    {"x": 50.0, "z": "a"},  # pruned
    {"x": 90.0, "z": "a"},  # fails
    {"x": 0.5, "z": "slow"},  # stopped by Ctrl+C
    {"x": 50.0, "z": "a"},  # by the second command, which also trains the one before again
)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_search_is_pruned_stopped_and_continued(
    launcher: str, words: list[str], environment: Environment, tmp_path: Path
) -> None:
    url, folder = f"journal://{tmp_path}/s.journal", tmp_path / "out"
    study = optuna.create_study(study_name="s", storage=open_storage(url))
    for params in QUEUE:
        study.enqueue_trial(params)
    command = [
        "hydra/sweeper=pochi",
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.pruner.n_startup_trials=1",
        "hydra.sweeper.study_name=s",
        f"hydra.sweeper.storage={url}",
        "hydra.sweeper.n_trials=5",
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.max_failure_rate=1.0",
        f"hydra.sweep.dir={folder}",
        "fail_above=80",
        *SPACE,
        *words,
    ]

    first = start(environment, *command, "slow_s=300")
    marker = folder / "4" / "slow.json"
    wait_until(lambda: marker.exists() and count(study)["FAIL"] == 1, first)
    first.send_signal(signal.SIGINT)
    said = finish(first)
    assert first.returncode == 130, said
    assert count(study) == {"COMPLETE": 2, "PRUNED": 1, "FAIL": 2, "WAITING": 2}
    pid = json.loads(marker.read_text())["pid"]
    wait_until(lambda: process_start(pid) is None)  # the job has ended with the search

    second = start(environment, *command)
    said += finish(second)
    assert second.returncode == 0, said
    assert count(study) == {"COMPLETE": 3, "PRUNED": 2, "FAIL": 2}

    for trial in study.trials:
        if trial.state.name == "PRUNED":  # in the middle, by what other processes have reported
            assert trial.params["x"] == 50.0 and list(trial.intermediate_values) == [1]
        if trial.state.name == "COMPLETE":
            assert list(trial.intermediate_values) == [1, 2, 3, 4]
    reasons = [t.user_attrs["fail_reason"] for t in study.trials if t.state.name == "FAIL"]
    assert reasons == [
        "RuntimeError: x is too large",
        "the search was stopped (KeyboardInterrupt)",
    ]
    assert "Traceback" not in said and "Warning" not in said, said


@pytest.mark.parametrize("launcher", ["submitit_slurm", "ray"])
def test_a_password_reaches_the_jobs_of_a_cluster(
    launcher: str,
    words: list[str],
    environment: Environment,
    server: PostgresServer,
    tmp_path: Path,
) -> None:
    """SLURM hands the environment on; the processes of Ray are older than the command."""
    command = [
        "hydra/sweeper=pochi",
        f"hydra.sweeper.study_name={launcher}",
        f"hydra.sweeper.storage='{server.url}'",
        "hydra.sweeper.n_trials=1",
        f"hydra.sweep.dir={tmp_path}/out",
        "x=interval(2.0,3.0)",
        *words,
    ]
    search = start(environment, *command)
    said = finish(search)
    assert search.returncode == 0, said
    assert (tmp_path / "out" / "0" / "facts.json").exists()
    assert server.password not in said


def test_ray_names_a_killed_job_and_what_no_machine_has(ray_address: str, tmp_path: Path) -> None:
    url = f"journal://{tmp_path}/s.journal"
    words = (
        "hydra/sweeper=pochi",
        "hydra.sweeper.study_name=s",
        f"hydra.sweeper.storage={url}",
        "hydra.sweeper.n_trials=1",
        "hydra.sweeper.max_failure_rate=1.0",
        f"hydra.sweep.dir={tmp_path}/out",
        "x=interval(2.0,3.0)",
        "kill_above=1",
        "hydra/launcher=ray",
        f"hydra.launcher.address={ray_address}",
    )
    finish(start(dict(os.environ), *words))
    (trial,) = optuna.load_study(study_name="s", storage=open_storage(url)).trials
    reason = trial.user_attrs["fail_reason"]
    assert reason == "the process of the job died, perhaps out of memory"

    rule = r"hydra.launcher.num_gpus must be at most .* \(0 GPU\), got 2.0."
    launcher = RayLauncher(ray_address, 1.0, 2.0, {}, 0, {}, True)
    with pytest.raises(ConfigError, match=rule):
        launcher.require_machine()


def test_a_grid_on_slurm_is_an_array_of_jobs(slurm: Environment, tmp_path: Path) -> None:
    """Our own grid, of real trainings, each in two processes."""
    words = (
        "data=digits",
        "model=torchvision",
        "model.name=squeezenet1_1",
        "epochs=1",
        "data.num_workers=0",
        "device=cpu",
        f"work_dir={tmp_path}/out",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.tasks_per_node=2",
        "hydra.launcher.cpus_per_task=1",
        "seed=1,2",
    )
    done = subprocess.run(
        [sys.executable, REPOSITORY / "train.py", "--multirun", *words],
        cwd=tmp_path,
        env=os.environ | slurm,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    runs = [path for path in (tmp_path / "out").glob("2*") if path.is_dir()]
    assert sorted(OmegaConf.load(run / "config.yaml").seed for run in runs) == [1, 2]
    assert all((run / "models" / "best.pth").is_file() for run in runs)
    devices = {json.loads((run / "environment.json").read_text())["device"] for run in runs}
    assert devices == {"2 processes (srun), each on cpu, fp32"}
    jobs = {path.name for path in (tmp_path / "out" / ".submitit").iterdir() if path.is_dir()}
    assert {name.partition("_")[2] for name in jobs} == {"", "0", "1"}, "one array of two jobs"
    assert "Traceback" not in done.stderr + done.stdout
    assert "sacct" not in done.stderr, "a cluster without accounting is nothing to complain of"


def count(study: optuna.Study) -> Counter[str]:
    """State -> number of trials."""
    return Counter(trial.state.name for trial in study.get_trials(deepcopy=False))


def wait_until(is_true: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for what `process` is to bring about."""
    end = time.monotonic() + PATIENCE_S
    while not is_true():
        assert process is None or process.poll() is None, finish(process)
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.05)
