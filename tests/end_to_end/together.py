"""Several processes of the program that train together, without a launcher's seconds."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from fault_program import Ended, Program

SRUN = {"RANK": "", "SLURM_STEP_ID": "0"}
LIMIT_S = 120
"""Far more than anything here takes; a test that waits longer fails."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Together:
    """What the processes did, by rank."""

    ended: list[Ended]

    @property
    def codes(self) -> list[int]:
        return [ended.code for ended in self.ended]

    @property
    def text(self) -> str:
        return "".join(f"--- rank {i}\n{ended.text}" for i, ended in enumerate(self.ended))


@dataclass
class Launcher:
    """Starts them as torchrun does; the processes that are left are its business, as there.

    With `**SRUN` as srun does.
    """

    program: Program

    def start(self, num: int, *argv: str, **env: str) -> list[int]:
        port = str(free_port())
        pids = []
        for rank in range(num):
            place = {"RANK": str(rank), "WORLD_SIZE": str(num), "MASTER_PORT": port}
            local = {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(num)}
            local |= {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(num)}
            quick = {"MASTER_ADDR": "127.0.0.1", "NO_GRAPHS": "1"}
            task = self.program.task(argv, {**place, **local, **quick, **env})
            output = {"output": str(self.output(rank)), "wait": False}
            pids.append(self.program.ask({**task, **output})["pid"])
        return pids

    def output(self, rank: int) -> Path:
        return self.program.folder / f"output_{rank}.txt"

    def wait(self, pids: list[int]) -> Together:
        end = time.monotonic() + LIMIT_S
        while any(is_alive(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.02)
        hung = [rank for rank, pid in enumerate(pids) if is_alive(pid)]
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, 9)
        codes = [self.program.ask({"wait_for": pid})["code"] for pid in pids]
        found = Together(
            [Ended(code, self.output(rank).read_text()) for rank, code in enumerate(codes)]
        )
        assert not hung, f"ranks {hung} were still there after {LIMIT_S} s\n{found.text}"
        return found

    def run(self, num: int, *argv: str, **env: str) -> Together:
        return self.wait(self.start(num, *argv, **env))


def is_alive(pid: int) -> bool:
    """Whether a process has not ended yet, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
