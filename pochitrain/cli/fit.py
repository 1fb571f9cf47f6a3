"""`pochi fit DIR [--minutes 5] [overrides]`: a model for a folder of pictures, within a time."""

import argparse
from pathlib import Path

from pochitrain.cli.flag import FlagParser
from pochitrain.error import ConfigError
from pochitrain.text import quote_override

DESCRIPTION = """Train the best model that fits into a given time on the class folders in DIR.

The same as python train.py strategy=budget budget.minutes=5 data=folder data.train_root=DIR, with a
fifth of the pictures for validation unless data.val_fraction or data.val_root says otherwise."""

WITH_VALUE = ("--cfg", "-c", "--config-dir", "-cd", "--package", "-p")
"""Flags of Hydra whose value may be the next word."""


def run(argv: list[str], prog: str) -> None:
    parser = FlagParser(
        prog=prog,
        usage=f"{prog} DIR [--minutes 5] [overrides]",
        description=DESCRIPTION,
        epilog=f"example: {prog} photos --minutes 15 seed=1 model=resnet18",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--minutes", type=positive_minutes, default=5.0, metavar="M", help="default: 5"
    )
    options, rest = parser.parse_known_args(argv)
    folders = [
        word
        for word, before in zip(rest, ["", *rest], strict=False)
        if "=" not in word and not word.startswith("-") and before not in WITH_VALUE
    ]
    if len(folders) != 1:
        seen = ", ".join(folders) or "nothing"
        raise ConfigError(f"{prog} DIR must be one folder of class folders, got {seen}.")
    if {"-m", "--multirun"} & set(rest):
        raise ConfigError(f"{prog} trains one model, got --multirun. Leave it out.")
    rest.remove(folders[0])
    refuse_strategy(rest, prog)

    from pochitrain.cli.app import run_app

    run_app([*overrides(folders[0], options.minutes, rest), *rest], prog)


def positive_minutes(text: str) -> float:
    """Argument type: a number of minutes > 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of minutes > 0, got {text!r}")
    return value


def refuse_strategy(words: list[str], prog: str) -> None:
    for word in words:
        if word.lstrip("+").startswith(("strategy=", "budget.")):
            raise ConfigError(
                f"{prog} chooses the strategy within --minutes, got {word}. To choose it yourself "
                "use pochi train."
            )


def overrides(folder: str, minutes: float, typed: list[str]) -> list[str]:
    """What the command adds to the overrides that were typed."""
    words = ["strategy=budget", f"budget.minutes={minutes:g}", "data=folder"]
    words.append(f"data.train_root={quote_override(str(Path(folder)))}")
    keys = {word.partition("=")[0] for word in typed}
    if not keys & {"data.val_fraction", "data.val_root", "data.num_folds"}:
        words.append("data.val_fraction=0.2")
    return words
