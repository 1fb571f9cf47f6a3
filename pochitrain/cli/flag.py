"""Flags of the commands that are not Hydra applications."""

import argparse
from typing import NoReturn

from pochitrain.error import ConfigError


class FlagParser(argparse.ArgumentParser):
    """Raises ConfigError instead of printing the usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")


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


def execute_config(path: str | None) -> None:
    """Execute the Python config given with --config, whose functions the run may refer to."""
    if path is not None:
        from pochitrain.legacy.register import use_config_file

        use_config_file(path)
