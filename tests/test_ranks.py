"""The place of a process, as launchers say it."""

import pytest

from pochitrain.ranks import (
    Ranks,
    expand_counts,
    find_ranks,
    first_host,
    launch_id,
    meeting_point,
    num_restarts,
)

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "TORCHELASTIC_RUN_ID": "none",
    "MASTER_ADDR": "here",
    "MASTER_PORT": "29501",
}
SRUN = {
    "SLURM_PROCID": "4",
    "SLURM_NTASKS": "5",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
    "SLURM_STEP_ID": "1",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_JOB_ID": "77",
    "SLURM_NODELIST": "gpu[07-09]",
}


FIRST_NODE = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}


def without(environ: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Ranks()),
        (TORCHRUN, Ranks(5, 8, 1, 4, "torchrun")),
        (TORCHRUN | SRUN, Ranks(5, 8, 1, 4, "torchrun")),  # srun torchrun ...
        ({"RANK": "1", "WORLD_SIZE": "2"}, Ranks(1, 2, 1, 2, "environment")),
        ({"RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "a"}, Ranks()),
        ({"RANK": "x", "WORLD_SIZE": "2"}, Ranks()),
        (SRUN, Ranks(4, 5, 0, 1, "srun")),
        (
            SRUN | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"},
            Ranks(1, 5, 1, 2, "srun"),
        ),
        (without(SRUN, "SLURM_STEP_ID"), Ranks()),  # the batch script itself is one process
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, Ranks()),  # srun -n 1 in a job of 5
        (without(SRUN, "SLURM_STEP_NUM_TASKS"), Ranks(4, 5, 0, 1, "srun")),
    ],
)
def test_place(environ: dict[str, str], expected: Ranks) -> None:
    assert find_ranks(environ) == expected


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[07-09]", "gpu07"),
        ("gpu[3,5-7],login", "gpu3"),
        ("a1,a2", "a1"),
        ("rack[1-2]-ib", "rack1-ib"),
        ("alone", "alone"),
    ],
)
def test_first_host(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_counts() -> None:
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]
    assert expand_counts("") == []


def test_meeting_point() -> None:
    assert meeting_point(find_ranks(TORCHRUN), TORCHRUN) == ("here", 29501)
    host, port = meeting_point(find_ranks(SRUN), SRUN)
    assert host == "gpu07" and 20_000 <= port < 30_000
    other = SRUN | {"SLURM_STEP_ID": "2"}
    assert meeting_point(find_ranks(other), other)[1] != port  # two steps of a job
    given = SRUN | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"}
    assert meeting_point(find_ranks(given), given) == ("10.0.0.1", 4000)


def test_restarts() -> None:
    assert num_restarts({}) == 0
    assert num_restarts({"TORCHELASTIC_RESTART_COUNT": "2"}) == 2
    assert launch_id({"TORCHELASTIC_RUN_ID": "abc"}) == "abc"
    assert launch_id({"TORCHELASTIC_RUN_ID": "none"}) == launch_id({"TORCHELASTIC_RUN_ID": "none"})
