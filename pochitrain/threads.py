"""How many cores and threads this process may use."""

import os
import sys


def num_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container (cgroup)."""
    from joblib import cpu_count

    return int(cpu_count())


def limit_threads() -> None:
    """Give torch no more threads than `num_cores`; it knows the affinity, but no quota.

    Does nothing where OMP_NUM_THREADS or MKL_NUM_THREADS says how many.
    """
    if {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & os.environ.keys():
        return
    torch = sys.modules["torch"]
    if torch.get_num_threads() > num_cores():
        torch.set_num_threads(num_cores())
