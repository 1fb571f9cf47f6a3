"""A SLURM cluster of one node, in a temporary directory: munged, slurmctld and slurmd of our own.

It needs Debian's packages slurmctld, slurmd, slurm-client and munge, and root. Nothing outside its
directory is written, and no other SLURM on the machine is touched: it has its own key, ports and
configuration. There is no accounting (slurmdbd), as on many small clusters, and no cgroup.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
START_S = 120.0
"""Seconds until the node must be ready; it takes about one where nothing else runs."""
STOP_S = 20.0
"""Seconds that jobs may take to end, once they are killed."""

CONFIG = """\
ClusterName=pochitrain
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PriorityType=priority/basic
ReturnToService=2
KillWait=20
MinJobAge=300
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={num_cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


class ClusterError(Exception):
    """Why there is no cluster: programs or rights are missing, or a daemon gave up."""


@dataclass
class SlurmCluster:
    """A running cluster. Its commands work in processes that get `environment`."""

    folder: Path
    num_cpus: int
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What to add to the environment of a process that uses the cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """The output of a command of SLURM (`sbatch`, `squeue`, ...).

        Raises:
            CalledProcessError: if it fails; its `stderr` says why.
        """
        environment = os.environ | self.environment
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=START_S
        )
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Job id (of an array: JOB_TASK) -> state, of all jobs that SLURM still knows."""
        listing = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i %T")
        return dict(line.split() for line in listing.splitlines())

    def start(self) -> None:
        """Start the daemons, and wait until the node takes jobs.

        Raises:
            ClusterError: naming the program that did not start, with the end of its log.
        """
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ports = free_ports(2)
        text = CONFIG.format(
            host=socket.gethostname(),
            folder=self.folder,
            controller_port=ports[0],
            node_port=ports[1],
            num_cpus=self.num_cpus,
        )
        (self.folder / "slurm.conf").write_text(text)
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        munge = [
            f"--{name}={self.folder / file}"
            for name, file in (
                ("socket", "munge.socket"),
                ("key-file", "munge.key"),
                ("pid-file", "munge.pid"),
                ("log-file", "munge.log"),
                ("seed-file", "munge.seed"),
            )
        ]
        self.start_daemon("munged", "--foreground", "--force", *munge)
        wait_until(lambda: (self.folder / "munge.socket").exists(), self, "munged")
        self.start_daemon("slurmctld", "-D", "-c")
        self.start_daemon("slurmd", "-D")
        wait_until(self.is_ready, self, "slurmctld and slurmd")

    def start_daemon(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.out", "wb") as output:
            process = subprocess.Popen(
                [find_program(name), *arguments],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl+C on the tests must not end it before them
            )
        self.daemons.append(process)

    def is_ready(self) -> bool:
        """Whether the node is idle, which is when it takes jobs."""
        try:
            return self.run("sinfo", "--noheader", "--format=%T").strip() == "idle"
        except subprocess.CalledProcessError:
            return False

    def stop(self) -> None:
        """End all jobs, then the daemons; leaves no process behind."""
        try:
            if self.is_ready() or any(daemon.poll() is None for daemon in self.daemons):
                self.run("scancel", "--full", "--signal=KILL", "--user=root")
                end = time.monotonic() + STOP_S  # it only passes the order on to the node
                while self.run("squeue", "--noheader") and time.monotonic() < end:
                    time.sleep(0.2)
        except (subprocess.SubprocessError, OSError):
            pass  # it did not start
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def describe(self) -> str:
        """The last lines of all logs."""
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        ends = [path.read_text(errors="replace").splitlines()[-3:] for path in logs]
        return " | ".join(line for lines in ends for line in lines)


def find_program(name: str) -> str:
    """The path of a program; daemons are often outside of PATH.

    Raises:
        ClusterError: if it is not installed.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise ClusterError(
            f"{name} is not installed (Debian: slurmctld, slurmd, slurm-client, munge)"
        )
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(is_true: Callable[[], bool], cluster: SlurmCluster, what: str) -> None:
    """
    Raises:
        ClusterError: if a daemon has ended, or it takes too long.
    """
    end = time.monotonic() + START_S
    while not is_true():
        if any(daemon.poll() is not None for daemon in cluster.daemons):
            raise ClusterError(f"{what} did not start: {cluster.describe()}")
        if time.monotonic() > end:
            raise ClusterError(f"{what} was not ready in {START_S:.0f} s: {cluster.describe()}")
        time.sleep(0.1)


@contextmanager
def slurm_cluster(num_cpus: int = 4) -> Iterator[SlurmCluster]:
    """A cluster for the time of the block.

    Args:
        num_cpus: what its node says it has, which may be more than there are.

    Raises:
        ClusterError: if it cannot be started here; a test is skipped with that reason.
    """
    for name in PROGRAMS:
        find_program(name)
    if os.geteuid() != 0:
        raise ClusterError("a SLURM cluster of our own is started by root only")
    # Not below pytest's directory: everybody must be able to enter that of munge's socket.
    folder = Path(mkdtemp(prefix="slurm"))
    folder.chmod(0o755)
    cluster = SlurmCluster(folder, num_cpus)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
