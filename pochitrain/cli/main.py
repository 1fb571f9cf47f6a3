"""The `pochi` command: run the subcommand, and turn errors into a message and an exit code."""

import atexit
import gc
import importlib
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

from pochitrain import __version__
from pochitrain.command import remember_command
from pochitrain.config.processes import refuse_processes
from pochitrain.error import (
    REFUSALS,
    ConfigError,
    PochiError,
    ReaderGone,
    ToldElsewhere,
    cannot_access,
)
from pochitrain.manner import forget_manner, prepare_streams
from pochitrain.ranks import Ranks, find_ranks
from pochitrain.sweep.password import hide_password
from pochitrain.text import did_you_mean, printable
from pochitrain.threads import stop_spinning

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("pochitrain.cli.train", "train a model (the same as python train.py)"),
    "fit": ("pochitrain.cli.fit", "train the best model that fits into a given time"),
    "optimize": ("pochitrain.cli.optimize", "search hyper-parameters with Optuna"),
    "infer": ("pochitrain.cli.infer", "evaluate a model, or classify pictures with it"),
    "explain": ("pochitrain.cli.explain", "show which parts of a picture speak for its class"),
    "compare": ("pochitrain.cli.compare", "show which of some runs is better, or that none is"),
    "report": ("pochitrain.cli.report", "write a page about a run, a search or a multirun"),
    "calibrate": (
        "pochitrain.cli.calibrate",
        "make the confidence of a model honest, and let it say unknown",
    ),
    "export": (
        "pochitrain.cli.export",
        "write an ONNX file and prove that it predicts the same classes",
    ),
    "serve": ("pochitrain.cli.serve", "answer over HTTP, with a page to try it"),
    "lr": ("pochitrain.cli.lr", "show the learning rate of every layer before training"),
    "data": ("pochitrain.cli.data", "check pictures: leaks, duplicates, wrong labels, bad files"),
    "bench": ("pochitrain.cli.bench", "measure the loader, the model and both together"),
    "migrate": ("pochitrain.cli.migrate", "write a Python config as a YAML experiment"),
}
"""Name -> module with `run(argv, prog)`, description for the overview."""

LINGER_S = 10
"""How long a process that leaves the message to another stays at most."""
FIRST_STEPS = """\
pochitrain trains image classifiers. Pictures are in a folder for each class: photos/cat/1.jpg

  pochi fit photos --minutes 5      train the best model that fits into that time
  pochi infer outputs/RUN --data X  classify pictures with it, or score it
  pochi data check photos           find leaks, duplicates and wrong labels

All commands: pochi --help. The options of one: pochi COMMAND --help."""


def main(argv: list[str] | None = None, prog: str = "pochi") -> None:
    """Run a subcommand and exit: 0 done, 1 failed, 2 wrong input, 130 Ctrl+C, 143 SIGTERM."""
    # Before anything keeps a copy of the command line.
    argv = [hide_password(word) for word in (sys.argv[1:] if argv is None else argv)]
    remember_command(prog, argv)
    ranks = find_ranks()
    if not ranks.is_first:  # the first process prints, for all
        # It stays open until the process ends.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        warnings.simplefilter("ignore")
    stop_spinning()  # before anything imports torch
    atexit.register(leave_garbage)
    forget_manner()
    prepare_streams()
    logging.raiseExceptions = False  # a closed pipe is no reason for a traceback of a log line
    # Its first use on a machine would print "generated new fontManager".
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    try:
        dispatch(argv, prog)
        sys.stdout.flush()  # so that a write error is handled here and not at interpreter exit
        if not ranks.is_alone:
            leave(0, ranks)
    except PochiError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        tell(error, ranks)
        leave(error.exit_code, ranks)
    except (BrokenPipeError, ReaderGone):  # the pipe is closed (`pochi ... | head`)
        forget_manner()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or Python reports the error again at exit
        sys.exit(141)  # 128 + SIGPIPE
    except OSError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or error.errno not in REFUSALS:
            raise
        print(printable(cannot_access(error)), file=sys.stderr)
        leave(1, ranks)
    except KeyboardInterrupt as error:  # pochitrain.error.Interrupted has a message and a code
        print(printable(error) if str(error) else "Interrupted.", file=sys.stderr)
        leave(getattr(error, "exit_code", 130), ranks)
    except Exception:
        if not ranks.is_alone:
            traceback.print_exc()
            leave(1, ranks)
        raise
    finally:
        forget_manner()


def tell(error: PochiError, ranks: Ranks) -> None:
    """Print the message of an error, once for all processes of this machine."""
    if isinstance(error, ToldElsewhere):
        return
    # Before processes have met, all that share a machine find the same mistake.
    if ranks.local_rank > 0 and not error.is_told_here:
        time.sleep(LINGER_S)  # torchrun ends the others as soon as one ends
        return
    print(printable(error), file=sys.stderr)


def leave(code: int, ranks: Ranks) -> NoReturn:
    """Exit. One of several processes does so at once: what it shares with others could hold up the
    end of the interpreter."""
    if ranks.is_alone:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_garbage() -> None:
    """Spare the search for circular garbage with which Python ends: it takes half as long as
    composing the config. Libraries of torch, where that is loaded, would report leaks."""
    if "torch" not in sys.modules:
        gc.freeze()


def dispatch(argv: list[str], prog: str) -> None:
    """Run a subcommand, or print the version or the overview.

    Raises:
        ConfigError: for an unknown subcommand.
    """
    if argv[:1] in (["--version"], ["-V"]):
        print(f"pochitrain {__version__}")
        return
    if not argv:
        print(FIRST_STEPS, file=sys.stderr)
        sys.exit(2)  # as git and uv: a script that calls an empty command should notice
    if argv[0] in ("-h", "--help"):
        print(overview())
        return
    if argv[0] in ("-sc", "--shell-completion"):  # what the completion script calls
        argv = ["train", *argv]
    command = load_command(argv[0])
    if argv[0] != "train":
        refuse_processes(f"pochi {argv[0]}", find_ranks())
    command(argv[1:], prog if prog.endswith(".py") else f"{prog} {argv[0]}")


def load_command(name: str) -> Callable[[list[str], str], None]:
    """The function `run(argv, prog)` of a subcommand.

    Raises:
        ConfigError: if there is no such subcommand.
    """
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        raise ConfigError(
            f"pochi COMMAND must be one of {', '.join(COMMANDS)}, got {name!r}.{hint}"
        )
    run: Callable[[list[str], str], None] = importlib.import_module(COMMANDS[name][0]).run
    return run


def overview() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"usage: pochi COMMAND ...\n\n{rows}\n\nFor the options of a command: pochi COMMAND --help."
    )
