"""Runs commands of the program in forked processes, so that torch is imported once for all of them.

Reads one JSON object per line: {"argv": [...], "env": {...}, "folder": DIR, "output": FILE}, and
answers with {"code": EXIT} (negative: killed by that signal) when the command has ended. A line
with "wait": false is answered at once with {"pid": PID}, and the next line {"wait_for": PID} waits.
"""

import json
import os
import sys
from typing import Any

import torch  # noqa: F401  # imported here, so that the commands need not
import torchvision  # noqa: F401

import pochitrain.report.curve
import pochitrain.run.train  # noqa: F401
from pochitrain.cli.main import main


def start(task: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    file = os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ |= task["env"]
    os.chdir(task["folder"])
    code = 1
    try:
        main(["train", *task["argv"]], prog="train.py")
        code = 0
    except SystemExit as end:
        code = 0 if end.code is None else int(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        if "wait_for" in task:
            answer = {"code": wait(task["wait_for"])}
        else:
            pid = start(task)
            answer = {"code": wait(pid)} if task.get("wait", True) else {"pid": pid}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
