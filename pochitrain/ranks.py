"""Which of several processes this one is, as its launcher says: torchrun, srun, or by hand.

Only environment variables are read: nothing is imported, nobody is waited for.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

PORTS = (20_000, 30_000)
"""Where SLURM's processes meet unless MASTER_PORT says otherwise: a port that depends on the step,
since several may run on one node."""


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train together."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """Among those on the same machine."""
    local_world_size: int = 1
    launcher: str = ""
    """`torchrun`, `srun`, `environment` (variables set by hand); empty for one process."""

    @property
    def is_alone(self) -> bool:
        return self.world_size == 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, prints and decides."""
        return self.rank == 0


def find_ranks(environ: Mapping[str, str] = os.environ) -> Ranks:
    """The place of this process; one process where nobody says otherwise."""
    found = ranks_of_torchrun(environ) or ranks_of_slurm(environ)
    return found if found is not None and found.world_size > 1 else Ranks()


def ranks_of_torchrun(environ: Mapping[str, str]) -> Ranks | None:
    """The variables that torchrun sets, and that others set like it."""
    rank, size = number(environ, "RANK"), number(environ, "WORLD_SIZE")
    if rank is None or size is None:
        return None
    local_rank, local_size = number(environ, "LOCAL_RANK"), number(environ, "LOCAL_WORLD_SIZE")
    launcher = "torchrun" if "TORCHELASTIC_RUN_ID" in environ else "environment"
    if local_rank is None:  # all on this machine, if nobody says otherwise
        local_rank, local_size = rank, size
    return Ranks(rank, size, local_rank, local_size or local_rank + 1, launcher)


def ranks_of_slurm(environ: Mapping[str, str]) -> Ranks | None:
    """The variables of srun; submitit starts its jobs with it.

    A batch script has SLURM_PROCID and SLURM_NTASKS too, though it is one process: only srun sets
    the number of a step.
    """
    if not {"SLURM_STEP_ID", "SLURM_STEPID"} & environ.keys():
        return None
    rank = number(environ, "SLURM_PROCID")
    size = number(environ, "SLURM_STEP_NUM_TASKS") or number(environ, "SLURM_NTASKS")
    if rank is None or size is None:
        return None
    local_rank = number(environ, "SLURM_LOCALID") or 0
    per_node = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE", "")
    counts = expand_counts(per_node)
    node = number(environ, "SLURM_NODEID") or 0
    local_size = counts[node] if node < len(counts) else local_rank + 1
    return Ranks(rank, size, local_rank, max(local_size, local_rank + 1), "srun")


def number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else None


def expand_counts(text: str) -> list[int]:
    """`2(x3),1` -> [2, 2, 2, 1]: SLURM's number of tasks on each node."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(count) for count, times in found for _ in range(int(times or 1))]


def first_host(nodes: str) -> str:
    """`gpu[03-05,9],login` -> gpu03: the first name of a SLURM_NODELIST."""
    found = re.match(r"([^\[,]*)(?:\[([^\]]*)\])?([^,]*)", nodes)
    if found is None:
        return nodes
    before, numbers, after = found.groups()
    return before + re.split(r"[-,]", numbers or "")[0] + after


def meeting_point(ranks: Ranks, environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Host and port at which the processes meet."""
    host, port = environ.get("MASTER_ADDR"), number(environ, "MASTER_PORT")
    if ranks.launcher == "srun":
        nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_NODELIST", "")
        host = host or first_host(nodes or environ.get("SLURM_JOB_NODELIST", ""))
        if port is None:
            job = number(environ, "SLURM_JOB_ID") or number(environ, "SLURM_JOBID") or 0
            step = number(environ, "SLURM_STEP_ID") or number(environ, "SLURM_STEPID") or 0
            port = PORTS[0] + (job * 31 + step) % (PORTS[1] - PORTS[0])
    return host or "127.0.0.1", 29_500 if port is None else port


def launch_id(environ: Mapping[str, str] = os.environ) -> str:
    """Tells one start of torchrun from another; the same in the processes that it starts again."""
    run = environ.get("TORCHELASTIC_RUN_ID", "none")
    return run if run != "none" else f"{os.uname().nodename}:{os.getppid()}"


def num_restarts(environ: Mapping[str, str] = os.environ) -> int:
    """How often torchrun has started these processes again (`--max-restarts`)."""
    return number(environ, "TORCHELASTIC_RESTART_COUNT") or 0
