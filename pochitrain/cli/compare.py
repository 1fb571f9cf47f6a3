"""`pochi compare RUN RUN... [--output DIR] [--json]`."""

import argparse

from pochitrain.cli.flag import FlagParser, add_code_flags, execute_config

DESCRIPTION = """Show runs side by side: in what their configs differ, their validation metrics with
95 % intervals, and whether the differences are more than chance.

Runs whose configs differ by nothing but the seed are one setting. The best setting is tested
against each of the others, on the validation pictures that both have."""


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        description=DESCRIPTION,
        epilog=f"example: {prog} outputs/20260101_001 outputs/20260101_002 --output compared",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        with_json=True,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run directory, summary of folds (outputs/folds), or a folder that holds runs",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="also write a page (compare.html), graphs, CSV files and compare.json",
    )
    add_code_flags(parser)
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.compare.compare import CompareSettings, compare_runs

    compare_runs(CompareSettings(**options))
