"""Flags of the commands that are not Hydra applications."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from pochitrain.error import ConfigError
from pochitrain.manner import answer_in_json, be_quiet

QUIET = "--quiet"


class FlagParser(argparse.ArgumentParser):
    """Raises ConfigError instead of printing the usage and exiting; every command has --quiet."""

    def __init__(self, *, with_json: bool = False, **options: Any) -> None:
        """
        Args:
            with_json: whether the command can print its result as JSON.
        """
        super().__init__(**options)
        self.with_json = with_json
        self.add_argument(
            QUIET, action="store_true", help="print only errors, warnings and the result"
        )
        if with_json:
            self.add_argument(
                "--json",
                action="store_true",
                help="print the result as one JSON document, for programs; all else goes to "
                "standard error",
            )

    # The types of argparse have an overload for each type of namespace; no command gives one.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and talk from now on as --quiet and --json say (`pochitrain.manner`)."""
        options, rest = super().parse_known_args(args, namespace)
        if options.quiet:
            be_quiet()
        del options.quiet  # what remains are settings of the command
        if self.with_json:
            if options.json:
                answer_in_json()
            del options.json
        return options, rest

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")


def take_quiet(argv: list[str]) -> list[str]:
    """`argv` without --quiet, which is obeyed: for commands whose flags Hydra parses."""
    if QUIET in argv:
        be_quiet()
    return [word for word in argv if word != QUIET]


def positive(text: str) -> int:
    """Argument type: an integer >= 1."""
    return at_least(text, 1)


def natural(text: str) -> int:
    """Argument type: an integer >= 0."""
    return at_least(text, 0)


def at_least(text: str, low: int) -> int:
    """Parse an integer >= `low`.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"must be an integer >= {low}, got {text!r}")
    return value


def share(text: str) -> float:
    """Argument type: a share above 0 and below 1, as a number or in percent (`1%`, `0.01`).

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    number = text.strip()
    try:
        value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"must be a share above 0 and below 1, such as 5% or 0.05, got {text!r}"
        )
    return value


def add_decision_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that ask a calibrated model for "unknown" and for sets of classes."""
    parser.add_argument(
        "--max-error",
        type=share,
        metavar="SHARE",
        help="answer only where at most this share is wrong, such as 1%%, else unknown "
        "(needs pochi calibrate)",
    )
    parser.add_argument(
        "--coverage",
        type=share,
        metavar="SHARE",
        help="sets of classes, of which this share, such as 90%%, holds the true one "
        "(needs pochi calibrate)",
    )


def add_pixel_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-input-megapixels",
        type=positive,
        metavar="N",
        help="limit for one batch, after the transform; default: 4, or a full batch if larger",
    )


def add_model_flags(parser: argparse.ArgumentParser, with_device: bool = True) -> None:
    """Add the flags of every command that loads a model: model, --device, --allow, --config."""
    parser.add_argument("model", metavar="RUN", help="run directory, checkpoint (.pth) or .onnx")
    add_code_flags(parser, with_device)


def add_code_flags(parser: argparse.ArgumentParser, with_device: bool = True) -> None:
    """Add where models run, and what of a person's own code they may use."""
    if with_device:
        parser.add_argument("--device", help="cuda, cuda:1, mps, cpu; default: as in training")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="TARGET",
        help="your own code that the run's transforms or model use, e.g. mypackage.*",
    )
    parser.add_argument(
        "--config",
        metavar="FILE.py",
        help="Python config whose functions the run's transforms use (it is executed)",
    )


def add_loading_flags(parser: argparse.ArgumentParser) -> None:
    """Add how pictures are found and loaded, besides --data."""
    parser.add_argument(
        "--root", metavar="DIR", help="where paths in a table begin; default: at the table"
    )
    parser.add_argument("--batch-size", type=positive, metavar="N", help="default: as in training")
    add_num_workers_flag(parser)


def add_num_workers_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num-workers", type=natural, metavar="N", help="default: half the cores")


def execute_config(path: str | None) -> None:
    """Execute the Python config given with --config, whose functions the run may refer to."""
    if path is not None:
        from pochitrain.legacy.register import use_config_file

        use_config_file(path)
