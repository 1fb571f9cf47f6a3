"""How the threads of a computation share the cores with whatever else runs on the machine."""

import os
import sys

from pochitrain.ranks import find_ranks

SPIN_COUNT = "3000"
"""How often an OpenMP thread that has nothing to do looks for work before it sleeps.

GNU's OpenMP, which torch brings, looks 300,000 times by default: many milliseconds, in which a
thread of another process with work to do waits for the core. 3,000 times is longer than the gap
between two operations of a training step, so a run alone loses next to nothing
(docs/performance.md has the figures for other counts).
"""


def stop_spinning() -> None:
    """Let idle threads sleep; must run before torch or scikit-learn is imported.

    Whoever set one of OpenMP's own variables has decided already.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT


def num_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container (cgroup).

    Of several processes that train together on this machine, each has its share.
    """
    from joblib import cpu_count

    cores, num_processes = int(cpu_count()), find_ranks().local_world_size
    if cores <= int(os.environ.get("SLURM_CPUS_PER_TASK") or 0):  # srun has divided them already
        return cores
    return max(1, cores // num_processes)


def limit_threads() -> None:
    """Give torch no more threads than `num_cores`; it knows the affinity, but no quota.

    Does nothing where OMP_NUM_THREADS or MKL_NUM_THREADS says how many.
    """
    if {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & os.environ.keys():
        return
    torch = sys.modules["torch"]
    if torch.get_num_threads() > num_cores():
        torch.set_num_threads(num_cores())
