"""What launchers lack: errors in a line, jobs that end with the sweep, SLURM without accounting.

The errors are those that submitit itself raises here.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from submitit import AutoExecutor
from submitit.local.local import LocalJob

from pochitrain.error import ConfigError, PochiError
from pochitrain.sweep import launcher_job
from pochitrain.sweep.heartbeat import process_start
from pochitrain.sweep.launcher_job import end_processes, explain_launcher, is_child, open_launcher
from pochitrain.sweep.private_submitit import SqueueWatcher


def write_program(folder: Path, name: str, lines: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)


def raised_by(job: LocalJob[object]) -> Exception:
    with pytest.raises(Exception) as caught:
        job.results()
    return caught.value


def test_a_job_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalJob, "_results_timeout_s", 0)
    job: LocalJob[object] = LocalJob(tmp_path, "7")
    (tmp_path / "7_0_log.err").write_text("epoch 1\nslurmstepd: error: Detected 1 oom_kill event\n")
    error = explain_launcher(raised_by(job))
    assert isinstance(error, PochiError) and not isinstance(error, ConfigError)
    assert str(error) == (
        f"job 7 ended without a result (NO PROCESS AND NO RESULT; {tmp_path}/7_0_log.err: "
        "slurmstepd: error: Detected 1 oom_kill event)"
    )


def test_a_job_that_cannot_be_loaded(tmp_path: Path) -> None:
    trace = 'Traceback (most recent call last):\n  File "x"\nModuleNotFoundError: No module named x'
    (tmp_path / "7_0_result.pkl").write_bytes(pickle.dumps(("error", trace)))
    error = explain_launcher(raised_by(LocalJob(tmp_path, "7")))
    assert str(error) == "the job could not run: ModuleNotFoundError: No module named x"


@pytest.mark.parametrize("name", ["comment", "partition", "name", "submitit_folder"])
def test_a_setting_cannot_become_a_command(name: str) -> None:
    """submitit would write `#SBATCH --comment='x`, and below it `touch here #'`."""
    launcher = SlurmLauncher(**{name: "x\ntouch here #"})
    with pytest.raises(ConfigError, match=rf"^hydra.launcher.{name} must be one line .* got 'x\\n"):
        open_launcher(launcher)


def test_what_sbatch_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, "srun", "exit 0")
    write_program(
        tmp_path,
        "sbatch",
        "echo sbatch: error: invalid partition specified: nope >&2\n"
        "echo sbatch: error: Batch job submission failed: Invalid partition name specified >&2\n"
        "exit 1",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    executor = AutoExecutor(tmp_path / "jobs", cluster="slurm")
    with pytest.raises(Exception) as caught:
        executor.submit(print)
    error = explain_launcher(caught.value)
    assert isinstance(error, ConfigError)
    assert str(error) == (
        "hydra.launcher must be what sbatch takes. sbatch: error: Batch job submission failed: "
        "Invalid partition name specified"
    )


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        AutoExecutor(tmp_path / "jobs", cluster="slurm")
    error = explain_launcher(caught.value)
    assert isinstance(error, ConfigError) and "hydra/launcher=submitit_local" in str(error)


def test_other_errors_stay_as_they_are() -> None:
    error = ValueError("x")
    assert explain_launcher(error) is error


def test_squeue_tells_where_sacct_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, "squeue", "echo '5 RUNNING'; echo '6_0 PENDING'; echo '7 FAILED'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    watcher = SqueueWatcher()
    for job in ("5", "6_0", "7", "8"):
        watcher.register_job(job)
    found = {job: watcher.is_done(job, mode="force") for job in ("5", "6_0", "7", "8")}
    assert found == {"5": False, "6_0": False, "7": True, "8": True}, "8 was forgotten long ago"


def test_a_job_submitted_while_squeue_answers_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path, "squeue", "echo '5 RUNNING'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    watcher = SqueueWatcher()
    watcher.register_job("5")
    plain = watcher.read_info

    def submit_another(output: bytes | str) -> dict[str, dict[str, str]]:
        watcher.register_job("6")
        return plain(output)

    monkeypatch.setattr(watcher, "read_info", submit_another)
    watcher.update()
    assert not watcher.is_done("6", mode="cache")


PARENT = """
import subprocess, sys
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
command = [sys.executable, "-c", f"{deaf}; time.sleep(600)"]
child = subprocess.Popen(command, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_deaf_processes_are_killed_with_what_they_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher_job, "STOP_S", 0.2)
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert process_start(child) is not None
    end_processes([parent.pid])
    parent.wait(60)
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while process_start(child) is not None:
        assert time.monotonic() < deadline, "the child of the ended process still runs"
        time.sleep(0.02)
    assert parent.returncode == -signal.SIGTERM


def test_only_our_own_processes_are_ended() -> None:
    """The numbers of processes that have ended may belong to others now."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    assert is_child(child.pid)
    child.wait()
    assert not is_child(child.pid) and not is_child(os.getppid())
