"""The end of a training run: status.json, and the command that continues the run."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pochitrain.command import typed_command
from pochitrain.engine.interrupt import StopRequest
from pochitrain.engine.state import TrainState
from pochitrain.error import (
    ConfigError,
    Interrupted,
    PochiError,
    ToldElsewhere,
    cannot_access,
)
from pochitrain.ranks import Ranks, find_ranks
from pochitrain.run.status import write_status
from pochitrain.text import quote_override


@contextmanager
def report_end(
    folder: Path,
    cfg: DictConfig,
    state: TrainState,
    request: StopRequest,
    ranks: Ranks | None = None,
) -> Iterator[None]:
    """Keep status.json up to date while the run trains, and add to errors how to continue it.

    Args:
        ranks: of several processes, of which the first keeps status.json.

    Raises:
        Interrupted: when asked to stop.
        PochiError: for an expected failure, including an OSError. Both have the command to
            continue.
    """

    def set_status(status: str) -> None:
        with suppress(OSError):  # most likely a full disk, which was the first error too
            if is_first:
                write_status(folder, status, state)

    is_first = ranks is None or ranks.is_first
    try:
        if is_first:
            write_status(folder, "running", state)
        yield
    except Interrupted as error:
        set_status("interrupted")
        raise Interrupted(f"{error}\n{how_to_continue(folder, cfg)}", error.exit_code) from None
    except KeyboardInterrupt:
        set_status("interrupted")
        request.signal = request.signal or signal.SIGINT
        stopped = request.error("at once")
        raise Interrupted(f"{stopped}\n{how_to_continue(folder, cfg)}", stopped.exit_code) from None
    except (PochiError, OSError) as error:
        set_status("failed")
        if isinstance(error, (ConfigError, ToldElsewhere)):
            raise
        if not folder.is_dir():
            raise PochiError(
                f"The run directory {folder} is gone: it was deleted, moved or unmounted while the "
                "run was writing to it. Nothing of this run can be saved."
            ) from error
        if not (folder / "config.yaml").is_file():
            raise
        text = cannot_access(error) if isinstance(error, OSError) else str(error)
        kind = type(error) if isinstance(error, PochiError) else PochiError
        raise kind(f"{text}\n{how_to_continue(folder, cfg)}") from error
    except Exception:
        set_status("failed")
        raise


def how_to_continue(folder: Path, cfg: DictConfig) -> str:
    """The command that continues this run, or the sweep that it is part of."""
    program, arguments = typed_command()
    program = launch(program)
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        rest = [argument for argument in arguments if not argument.startswith("resume=")]
        # Hydra needs all overrides in a row, with the flags before or after them.
        overrides = (i for i, a in enumerate(rest) if "=" in a and not a.startswith("-"))
        first = next(overrides, len(rest))
        command = [*program, *rest[:first], "resume=auto", *rest[first:]]
    else:
        command = [*program, f"resume={quote_override(str(folder))}"]
        if cfg.allow_targets:
            command.append(f"allow_targets=[{','.join(cfg.allow_targets)}]")
    return f"To continue: {shlex.join(command)}"


def launch(program: list[str]) -> list[str]:
    """The command that starts `program` in as many processes as now."""
    ranks = find_ranks()
    if ranks.is_alone:
        return program
    if ranks.launcher == "srun":
        return ["srun", f"--ntasks={ranks.world_size}", *program]
    words = program[1:] if program[0] == "python" else ["--no-python", *program]
    nodes = "" if ranks.local_world_size == ranks.world_size else " ..."
    return ["torchrun", *nodes.split(), f"--nproc-per-node={ranks.local_world_size}", *words]
