"""`pochi bench [--config FILE.py] [overrides] [--seconds N] [--json]`."""

import argparse
import math

from omegaconf import DictConfig

from pochitrain.cli.flag import FlagParser
from pochitrain.error import ConfigError


def seconds(text: str) -> float:
    """Argument type: a number > 0.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be a number > 0, got {text!r}")
    return value


def run(argv: list[str], prog: str) -> None:
    parser = FlagParser(
        prog=prog,
        usage=f"{prog} [--config FILE.py] [overrides] [--seconds N] [--json]",
        description="Measure the loader, the training step and both together, and name the "
        "bottleneck. Takes the overrides of `pochi train`; makes no run directory.",
        epilog=f"example: {prog} data=folder data.train_root=photos model=resnet50",
        allow_abbrev=False,
        with_json=True,
    )
    parser.add_argument(
        "--seconds", type=seconds, default=10.0, metavar="N", help="how long to measure; default 10"
    )
    options, rest = parser.parse_known_args(argv)
    if {"-m", "--multirun"} & set(rest):
        raise ConfigError(f"{prog} measures one run, got --multirun. Leave it out.")

    from pochitrain.cli.app import run_app
    from pochitrain.cli.config_file import use_config_flag

    def measure(cfg: DictConfig) -> None:
        from pochitrain.config.root import validate

        warnings = validate(cfg)
        from pochitrain.run.bench import bench  # torch is imported here, after the checks

        bench(cfg, warnings, options.seconds)

    run_app(use_config_flag(rest), prog, measure)
