"""The processes that train one model together: what they tell each other, and how they end.

Everything is written so that one process, `ALONE`, does nothing at all here.

Data goes over torch.distributed: NCCL between GPUs, gloo between CPUs. What concerns the run
itself (does anybody want to stop?) always goes over gloo, on the CPU, so that nothing waits for a
GPU. On a third group each process waits for a word from every other one. The process that says why
the run ends sends it; the system ends the wait as soon as a process is gone without.
"""

import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from pochitrain.error import ConfigError, Interrupted, PochiError, ToldElsewhere
from pochitrain.ranks import Ranks, meeting_point, num_restarts
from pochitrain.text import first_line

T = TypeVar("T")

MEETING_S = 600
"""How long a process waits for the others to start."""
STEP_S = 1800
"""How long it waits for them in a run; one that is gone is noticed at once."""
GRACE_S = 5.0
"""How long a process that has lost another may take to end by itself."""
FOREVER_S = 86_400 * 1000
NOTICE_S = 2.0
"""How long a word about the end may take: which process is gone, once a transfer has failed."""
STORY = "story"
"""Where the first process that fails says so: it alone prints its message."""


class ProcessGroup:
    """One process."""

    ranks = Ranks()

    @property
    def size(self) -> int:
        return self.ranks.world_size

    @property
    def rank(self) -> int:
        return self.ranks.rank

    @property
    def is_alone(self) -> bool:
        return self.ranks.is_alone

    @property
    def is_first(self) -> bool:
        """Whether this process writes, prints and decides."""
        return self.ranks.is_first

    def largest(self, *numbers: int) -> list[int]:
        """The largest value of each number in any process."""
        return list(numbers)

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, which alone calls it."""
        return make()

    def gather(self, value: T) -> list[T]:
        """The value of each process, in the first one; elsewhere an empty list."""
        return [value]

    def use(self, device: torch.device) -> None:
        """Prepare for gradients on `device`."""

    def lost(self) -> str | None:
        """A sentence on the process that is gone, after a transfer has failed; None if none is."""
        return None

    def part_ways(self) -> None:
        """From now on each process may end when it likes."""


ALONE = ProcessGroup()


class Peers(ProcessGroup):
    """Several processes."""

    def __init__(self, ranks: Ranks) -> None:
        """Meet the others.

        Raises:
            ConfigError: if they do not all come.
        """
        self.ranks = ranks
        host, port = meeting_point(ranks)
        os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(port)}  # torch reads them there
        try:
            wait = timedelta(seconds=MEETING_S)
            found = next(rendezvous("env://", ranks.rank, ranks.world_size, timeout=wait))
            # torchrun may keep the store when it starts the processes again, with all it holds.
            self.store: Any = PrefixStore(f"pochitrain/{num_restarts()}", found[0])
            dist.init_process_group(
                "gloo", store=self.store, rank=ranks.rank, world_size=ranks.world_size, timeout=wait
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"The {ranks.world_size} processes must meet at {host}:{port} (MASTER_ADDR, "
                f"MASTER_PORT); rank {ranks.rank} could not ({first_line(error)})."
            ) from error
        self.control = self.new_group("gloo", STEP_S)
        self.data: Any = None
        """For gradients."""
        self.statistics: Any = None
        """For batch norm, whose small messages need not queue behind gradients."""
        self.names = self.share(f"process {os.getpid()} on {socket.gethostname()}")
        self.ended: set[int] = set()
        """Ranks of the processes that are gone, or have said why they will be."""
        self.told: tuple[int, int] | None = None
        """Rank and exit code of the process that has said why the run ends."""
        self.noticed = threading.Event()
        self.is_over = False
        """Whether the end of another process is no longer a reason to end."""
        self.is_ending = False
        """Whether this process ends because of an error."""
        self.watch()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.on_term)

    def on_term(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM before and after training. torchrun also sends it once another process has ended:
        then the message of this one must come out first."""
        if self.is_ending or (not self.is_over and self.noticed.wait(0.5)):
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    def new_group(self, backend: str, timeout_s: float) -> Any:
        return dist.new_group(backend=backend, timeout=timedelta(seconds=timeout_s))

    def use(self, device: torch.device) -> None:
        """Prepare for gradients on `device`.

        Raises:
            ConfigError: if processes have devices of different kinds, or share a GPU.
        """
        place = ""
        if device.type == "cuda":
            torch.cuda.set_device(device)
            place = f"{socket.gethostname()} {torch.cuda.get_device_properties(device).uuid}"
        places = self.share((device.type, place))
        if len({kind for kind, _ in places}) > 1:
            kinds = ", ".join(f"rank {rank} {kind}" for rank, (kind, _) in enumerate(places))
            raise ConfigError(f"device must be the same in all processes, got {kinds}.")
        for rank, found in enumerate(places):
            same = places.index(found)
            if place and same < rank:
                raise ConfigError(
                    f"device must be a GPU of its own for each process, got one for ranks {same} "
                    f"and {rank}. Start as many processes as there are GPUs, or use device=cpu."
                )
        backend = "nccl" if device.type == "cuda" else "gloo"
        self.data = self.new_group(backend, STEP_S)
        self.statistics = self.new_group(backend, STEP_S)

    def share(self, value: T) -> list[T]:
        """The value of each process, in all of them."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, pack(value), group=self.control)
        return [unpack(data) for data in found]

    def largest(self, *numbers: int) -> list[int]:
        found = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(found, dist.ReduceOp.MAX, self.control)
        return [int(number) for number in found.tolist()]

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            group = self.control if tensor.device.type == "cpu" else self.data
            dist.all_reduce(tensor, dist.ReduceOp.SUM, group)

    def from_first(self, make: Callable[[], T]) -> T:
        if self.is_first:
            made = make()
            dist.broadcast_object_list([pack(made)], 0, self.control)
            return made
        found: list[Any] = [None]
        dist.broadcast_object_list(found, 0, self.control)
        received: T = unpack(found[0])
        return received

    def gather(self, value: T) -> list[T]:
        found: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(pack(value), found, 0, self.control)
        return [unpack(data) for data in found or []]

    def watch(self) -> None:
        """Wait in threads for the end of every other process."""
        self.bell = self.new_group("gloo", FOREVER_S)
        for rank in range(self.size):
            if rank != self.rank:
                word = torch.zeros(1, dtype=torch.int64)
                args = (rank, dist.irecv(word, rank, self.bell), word)
                threading.Thread(target=self.listen, args=args, daemon=True).start()

    def listen(self, rank: int, work: Any, word: Tensor) -> None:
        """Wait until process `rank` is gone, then see to it that this one ends too."""
        with suppress(RuntimeError):
            work.wait()
        if code := int(word):
            self.told = rank, code
        self.ended.add(rank)
        self.noticed.set()
        if not self.is_over:
            time.sleep(GRACE_S)
        if (
            not self.is_over or self.is_ending
        ):  # stuck in a transfer between GPUs, or in a long batch
            teller, code = self.story(1)
            if teller == self.rank:
                print(self.describe_lost(), file=sys.stderr, flush=True)
            os._exit(code)

    def describe_lost(self) -> str:
        rank = min(self.ended)
        return (
            f"Rank {rank} ({self.names[rank]}) ended without a word, so the others end too: it was "
            "killed, perhaps for lack of memory, or it crashed."
        )

    def lost(self) -> str | None:
        self.noticed.wait(NOTICE_S)
        return self.describe_lost() if self.ended else None

    def part_ways(self) -> None:
        self.largest(0)  # everyone is here
        self.is_over = True
        with suppress(RuntimeError):
            self.largest(0)  # everyone knows

    def story(self, exit_code: int) -> tuple[int, int]:
        """(rank that tells why the run ends, exit code): the first to ask with an `exit_code`."""
        return self.told or self.ask_store(exit_code) or self.guess(exit_code)

    def ask_store(self, exit_code: int) -> tuple[int, int] | None:
        """`story` from the store; None if it is gone with the process that held it."""
        if 0 not in self.ended or self.ranks.launcher == "torchrun":
            with suppress(RuntimeError):
                mine = f"{self.rank}:{exit_code}"
                told = self.store.compare_set(STORY, "", mine).decode()
                rank, code = map(int, told.split(":"))
                return rank, code
        return None

    def guess(self, exit_code: int) -> tuple[int, int]:
        """`story` without the store; the process that held it may have rung meanwhile."""
        self.noticed.wait(NOTICE_S)
        return self.told or (min(set(range(self.size)) - self.ended), exit_code)

    def ring(self, exit_code: int) -> None:
        """Let the others know that this process says why the run ends: it may hold the store, in
        which they would look."""
        word = torch.tensor([exit_code])
        sent: list[Any] = []
        for rank in set(range(self.size)) - {self.rank} - self.ended:
            with suppress(RuntimeError):
                sent.append(dist.isend(word, rank, self.bell))
        end = time.monotonic() + NOTICE_S
        for work in sent:
            with suppress(RuntimeError):
                work.wait(timedelta(seconds=max(0.01, end - time.monotonic())))

    def end_of(self, error: BaseException) -> BaseException:
        """The error to end with: this one, or a silent one if another process tells."""
        self.is_ending = True
        if isinstance(error, ToldElsewhere):
            return error
        if isinstance(error, RuntimeError):
            lost = self.lost()
            error = error if lost is None else PochiError(lost)
        teller, code = self.story(getattr(error, "exit_code", 1))
        if teller != self.rank:
            return ToldElsewhere(code)
        self.ring(code)
        if isinstance(error, PochiError):
            error.is_told_here = True
            if not self.is_first:
                error.args = (f"[rank {self.rank}] {error}",)
        elif not isinstance(error, (PochiError, Interrupted)):
            error.add_note(f"(in rank {self.rank})")
        return error


def pack(value: object) -> bytes:
    """`value` for another process; torch's own packing of objects fails on some tensors."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def unpack(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=False)  # from a process of this run


@contextmanager
def join_group(ranks: Ranks) -> Iterator[ProcessGroup]:
    """In the block, this process works with the others that its launcher has started.

    An error in one of them ends all, and the first one to have it tells it.

    Raises:
        ToldElsewhere: if another process tells why the run ends.
    """
    if ranks.is_alone:
        yield ALONE
        return
    group = Peers(ranks)
    try:
        yield group
    except BaseException as error:
        ending = group.end_of(error)
        if ending is error:
            raise
        raise ending from error
    group.is_over = True
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
