"""`pochi data check DIR [--val DIR] [overrides] [--output OUT] [--strict] [--fix-list FILE]`."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from pochitrain.cli.flag import FlagParser
from pochitrain.error import ConfigError
from pochitrain.text import did_you_mean, quote_override

DESCRIPTION = """Look at every picture and name what may be wrong: unreadable ones, the same or
nearly the same ones (above all on both sides of the split), labels that look wrong, very dark,
blurry or small ones. Nothing is changed or deleted.

DIR holds a folder of pictures for each class. Without DIR, overrides say where the pictures are, as
for pochi train: data=digits."""

WITH_VALUE = ("--config-dir", "-cd")
"""Flags of Hydra whose value may be the next word."""
ACTIONS = ("check",)
FLAGS = ("--val", "--output", "--strict", "--fix-list", "--skip-labels", "--json", "--quiet")


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        usage=f"{prog} [DIR] [--val DIR] [--output OUT] [--strict] [--fix-list FILE.csv] "
        "[--skip-labels] [--json] [overrides]",
        description=DESCRIPTION,
        epilog=f"example: {prog} photos/train --val photos/val --fix-list fix.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        with_json=True,
    )
    parser.add_argument("--val", metavar="DIR", help="the validation pictures")
    parser.add_argument(
        "--output",
        metavar="OUT",
        help="folder for findings.json and report.html; default: outputs/data_check[_N]",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 if something is wrong (for CI)"
    )
    parser.add_argument(
        "--fix-list", metavar="FILE.csv", help="also write what should be dropped or relabelled"
    )
    parser.add_argument(
        "--skip-labels", action="store_true", help="do not judge labels, which takes longest"
    )
    return parser


def run(argv: list[str], prog: str) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {prog} check ...\n\nFor the options: {prog} check --help.")
        return
    if argv[0] not in ACTIONS:
        hint = did_you_mean(argv[0], ACTIONS)
        raise ConfigError(f"{prog} ACTION must be check, got {argv[0]!r}.{hint}")
    prog = f"{prog} check"
    options, rest = build_parser(prog).parse_known_args(argv[1:])
    if {"-m", "--multirun"} & set(rest):
        raise ConfigError(f"{prog} looks at one set of pictures, got --multirun. Leave it out.")
    for word in rest:
        if word.startswith("--") and (hint := did_you_mean(word, FLAGS)):
            raise ConfigError(f"{prog} has no flag {word}.{hint}")
    folders = [
        word
        for word, before in zip(rest, ["", *rest], strict=False)
        if "=" not in word and not word.startswith("-") and before not in WITH_VALUE
    ]
    if len(folders) > 1:
        raise ConfigError(
            f"{prog} DIR must be one folder of class folders, got {', '.join(folders)}. "
            "The validation pictures are named by --val DIR."
        )
    words = [word for word in rest if word not in folders]
    given = {word.lstrip("+").partition("=")[0] for word in words}
    added = name_folders(folders, options.val, given, prog)
    missing = None if options.skip_labels else missing_package(given)
    judged = not options.skip_labels and missing is None
    added += label_overrides(given) if judged else []
    reason = missing and (
        f"Labels are not judged: the package {missing} is not installed. "
        "Type: pip install 'pochitrain[backbone]'"
    )

    from pochitrain.cli.app import run_app

    problems = []

    def check(cfg: DictConfig) -> None:
        from pochitrain.config.root import validate

        warnings = validate(cfg)
        from pochitrain.run.data_check import CheckSettings, check_data, require_parent

        require_parent(options.fix_list)
        settings = CheckSettings(options.output, options.fix_list, judged, reason or "")
        problems.append(check_data(cfg, warnings, settings))

    run_app([*added, *words], prog, check)
    if options.strict and any(problems):
        sys.exit(1)


def name_folders(folders: list[str], val: str | None, given: set[str], prog: str) -> list[str]:
    """The overrides that say where the pictures are.

    Raises:
        ConfigError: if the folders are not given, or twice.
    """
    if not folders:
        if val is not None:
            raise ConfigError(f"{prog} --val needs DIR too, got --val {val} alone.")
        if "data" not in given:
            raise ConfigError(
                f"{prog} DIR must be a folder of class folders, got nothing. Without one, an "
                "override must say which pictures, for example data=digits."
            )
        return []
    if twice := sorted(given & {"data", "data.train_root"}):
        raise ConfigError(f"{prog} needs DIR or {twice[0]}=..., got both. Leave one out.")
    words = ["data=folder", f"data.train_root={quote_override(str(Path(folders[0])))}"]
    if val is not None:
        words.append(f"data.val_root={quote_override(str(Path(val)))}")
    return words


def missing_package(given: set[str]) -> str | None:
    """What judging labels needs and is not installed."""
    from pochitrain.config.model import WHEELS

    own = () if "model" in given else ("timm", WHEELS["tf_efficientnet_lite0"])
    return next((name for name in own if find_spec(name) is None), None)


def label_overrides(given: set[str]) -> list[str]:
    """A backbone, and pictures of the size that suits them, where nothing else was typed."""
    wanted = {
        "model": "efficientnet_lite0",
        "transform": "imagenet",
        "transform.fit": "auto",
        "transform.size": "auto",
    }
    return [f"{key}={value}" for key, value in wanted.items() if key not in given]
