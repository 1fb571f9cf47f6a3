"""A run that is asked to stop saves itself, says how to go on, and goes on exactly."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from fault_program import Program, run_differences

from pochitrain.engine.interrupt import StopRequest, requeueing, stop_on_signal
from pochitrain.error import Interrupted


@pytest.fixture(scope="module")
def whole(program: Program) -> Path:
    """The run that nobody disturbed."""
    ended = program.run(*program.tiny("whole"))
    assert ended.code == 0, ended.text
    return program.only_run("whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "code", "options"),
    [
        ("SIGINT:batch:1:3", 130, []),
        ("SIGTERM:validation:1:6", 143, []),
        ("SIGTERM:fit_end:3:0", 143, []),  # the graphs are still to be drawn
        # A terminal and some clusters signal the loader processes too.
        ("SIGINT+GROUP:batch:0:2", 130, ["data.num_workers=2"]),
        ("SIGTERM+GROUP:batch:1:2", 143, ["data.num_workers=2"]),
    ],
)
def test_stop_and_go_on(
    program: Program, whole: Path, place: str, code: int, options: list[str]
) -> None:
    name = place.replace(":", "-")
    stopped = program.run(*program.tiny(name, *options), SIGNAL_AT=place)
    assert stopped.code == code, stopped.text
    run = program.only_run(name)
    assert json.loads((run / "status.json").read_text())["status"] == "interrupted"
    command = stopped.text.splitlines()[-1].removeprefix("To continue: python train.py ")
    assert command == f"resume={run.relative_to(program.folder)} 'allow_targets=[fault_part.*]'"

    resumed = program.run(*command.replace("'", "").split())
    assert resumed.code == 0, resumed.text
    assert run_differences(whole, run) == []
    assert json.loads((run / "status.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_stop_while_the_average_is_evaluated(program: Program) -> None:
    """Call 0 is the trial of the model, 1 and 2 are the batches of the average in epoch 1."""
    options = ["model._target_=fault_part.build_stopped", "ema_decay=0.9"]
    ended = program.run(*program.tiny("average", *options))
    assert ended.code == 0, ended.text
    stopped = program.run(*program.tiny("stopped-average", *options), STOP_IN_EVALUATION="1")
    assert stopped.code == 130, stopped.text
    assert "Stopped by SIGINT in the evaluation of the average.\n" in stopped.text
    run = program.only_run("stopped-average")
    assert not (run / "training_metrics.csv").exists()
    resumed = program.run(f"resume={run}", "allow_targets=[fault_part.*]")
    assert resumed.code == 0, resumed.text
    assert "after 0 of 3 epochs and 6 batches" in resumed.text
    assert run_differences(program.only_run("average"), run) == []


def test_second_ctrl_c_stops_at_once(program: Program) -> None:
    pid = program.start(*program.tiny("impatient", "model._target_=fault_part.build_sleepy"))
    wait_for_text(program, "asleep")
    begin = time.monotonic()
    os.kill(pid, signal.SIGINT)
    wait_for_text(program, "Ctrl+C again stops at once")
    os.kill(pid, signal.SIGINT)
    ended = program.wait(pid)
    assert ended.code == 130, ended.text
    assert "Stopped by SIGINT at once.\nTo continue: python train.py resume=" in ended.text
    assert time.monotonic() - begin < 30


def test_nothing_is_waited_for_once_everything_is_saved() -> None:
    request = StopRequest()
    with stop_on_signal(request):
        request.end_of_training()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert request.error("at once").exit_code == 143


def test_a_preempted_job_saves_first_and_then_goes_back_into_the_queue() -> None:
    """submitit's handler of SIGUSR2 requeues the job; it must not run in the middle of a batch."""
    calls: list[str] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: calls.append("requeued"))
    try:
        request = StopRequest()
        with pytest.raises(Interrupted, match="Stopped by SIGUSR2 in epoch 3"), requeueing():
            with stop_on_signal(request):
                signal.raise_signal(signal.SIGUSR2)
                assert request.signal == signal.SIGUSR2 and not calls
                calls.append("saved")
            raise request.error("in epoch 3")
        assert calls == ["saved", "requeued"]
        with pytest.raises(Interrupted), requeueing():
            raise Interrupted("Stopped by SIGTERM.", 143)
        assert calls == ["saved", "requeued"], "only SIGUSR2 asks for that"
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not callable(before), "no other test listens"
    with stop_on_signal(StopRequest()):
        assert signal.getsignal(signal.SIGUSR2) == before, "outside of submitit it is not ours"


def wait_for_text(program: Program, text: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while text not in (program.folder / "output.txt").read_text():
        assert time.monotonic() < end, (program.folder / "output.txt").read_text()
        time.sleep(0.05)


@pytest.mark.slow
def test_sweep(program: Program) -> None:
    """Ctrl+C ends the sweep, and the same sweep with resume=auto runs only what is left."""
    options = ["--multirun", *program.tiny("sweep"), "hydra.sweep.dir=sweep", "seed=1,2"]
    stopped = program.run(*options, SIGNAL_AT="SIGINT:batch:1:3")
    assert stopped.code == 130, stopped.text
    command = "To continue: python train.py --multirun resume=auto work_dir=sweep"
    assert stopped.text.splitlines()[-1].startswith(command)
    runs = sorted(path for path in (program.folder / "sweep").iterdir() if path.is_dir())
    assert len(runs) == 1  # the second job has not begun
    options.append("resume=auto")
    again = program.run(*options)
    assert again.code == 0, again.text
    assert again.text.count("Resuming ") == 1
    once_more = program.run(*options)
    assert once_more.code == 0, once_more.text
    assert once_more.text.count("is finished") == 2
    runs = sorted(path for path in (program.folder / "sweep").iterdir() if path.is_dir())
    assert len(runs) == 2
