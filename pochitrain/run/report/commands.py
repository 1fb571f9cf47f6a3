"""The commands with which a person repeats, uses and deploys a run."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from pochitrain.report.language import Translate


@dataclass
class Command:
    """A command and what it is for."""

    purpose: str
    text: str


def describe_commands(folder: Path, environment: dict[str, object], _: Translate) -> list[Command]:
    """To be typed where the run was started.

    Args:
        folder: the run directory.
        environment: content of environment.json.
    """
    run = shlex.quote(str(folder))
    rows = []
    typed, started = environment.get("command"), environment.get("folder")
    if isinstance(typed, str) and isinstance(started, str):
        rows.append(Command(_("Train it again"), f"cd {shlex.quote(started)}\n{typed}"))
    python = (
        "from pochitrain import Predictor\n\n"
        f"predictor = Predictor.load({str(folder)!r})\n"
        'print(predictor.predict("picture.jpg").class_name)'
    )
    return [
        *rows,
        Command(_("Classify pictures"), f"pochi infer {run} --data PICTURES"),
        Command(_("Show where it looks"), f"pochi explain {run} PICTURE"),
        Command(_("From Python"), python),
        Command(_("Make its confidence honest"), f"pochi calibrate {run}"),
        Command(_("Export it as ONNX"), f"pochi export {run}"),
        Command(_("Answer over HTTP"), f"pochi serve {run}"),
        Command(_("Compare it with another run"), f"pochi compare {run} OTHER_RUN"),
        Command(_("Make this page again"), f"pochi report {run}"),
    ]
