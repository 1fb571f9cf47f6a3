"""`pochi report RUN... [--language en|ja]`."""

import argparse

from pochitrain.cli.flag import FlagParser, add_code_flags, execute_config, natural
from pochitrain.config.report import LANGUAGES

DESCRIPTION = """Write report.html into the directory of a run, a search or a multirun: one page
that needs no network, made of the files there.

A run: accuracy with its interval, curves, confusions with their pictures, mistakes, classes,
confidence, data, config, commands. A search: its trials. A multirun: its runs side by side."""


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        with_json=True,
        description=DESCRIPTION,
        epilog=f"example: {prog} outputs/20260101_001",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run directory, search directory, or folder of runs"
    )
    parser.add_argument(
        "--language", choices=LANGUAGES, help="of the page; default: report.language of the run"
    )
    parser.add_argument(
        "--max-pictures",
        type=natural,
        metavar="N",
        help="validation pictures on the page; default: report.max_pictures of the run",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="show where the model looks beside each of the first mistakes, and a map of the "
        "pictures by their features (extra explain)",
    )
    add_code_flags(parser)
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.report.report import ReportSettings, report

    report(ReportSettings(**options))
