"""The private names of submitit that this package uses: which jobs run, and how they do.

They may change with any release; `tests/sweep/test_private_api.py` shows which one it has broken.
"""

import getpass
import subprocess
import threading

from submitit.local.local import LocalJob
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob


class SqueueWatcher(SlurmInfoWatcher):
    """Asks squeue about jobs, where sacct has no answer. Threads may use it concurrently.

    SLURM forgets a job some minutes after its end (MinJobAge): what squeue does not list has ended.
    Without this, a sweep would wait for ever for a job that was killed.
    """

    def __init__(self, delay_s: int = 60) -> None:
        super().__init__(delay_s)
        self.lock = threading.Lock()
        self.asked: set[str] = set()
        """The jobs that were there before squeue was called: a later one may not be in its list."""

    def update(self) -> None:
        with self.lock:
            self.asked = self._registered - self._finished
            super().update()

    def _make_command(self) -> list[str] | None:
        if not self.asked:
            return None
        user = f"--user={getpass.getuser()}"
        return ["squeue", user, "--noheader", "--array", "--states=all", "--format=%i %T"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string if isinstance(string, str) else string.decode()
        found = dict(line.split() for line in text.splitlines())
        return {job: {"State": found.get(job, "ENDED")} for job in self.asked}


def watch_jobs() -> None:
    """Let submitit ask squeue about its jobs if the SLURM here keeps no accounts."""
    if isinstance(SlurmJob.watcher, SqueueWatcher):
        return
    try:
        asked = subprocess.run(
            ["sacct", "--noheader", "--jobs=1"], capture_output=True, check=False
        )
    except FileNotFoundError:  # no SLURM, or a part of it
        has_accounts = False
    else:
        has_accounts = asked.returncode == 0
    if not has_accounts:
        SlurmJob.watcher = SqueueWatcher()


def submitted_jobs() -> tuple[list[str], list[int]]:
    """(SLURM's ids, ids of local processes) of the jobs of this process, ended ones among them."""
    return (
        sorted(SlurmJob.watcher._registered),
        [int(job) for job in LocalJob.watcher._registered],
    )
