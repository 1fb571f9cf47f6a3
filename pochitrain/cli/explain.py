"""`pochi explain RUN PICTURE... [--data DIR|FILE] [--class NAME] [--output FILE|DIR]`."""

from pochitrain.cli.flag import FlagParser, add_model_flags, add_pixel_flag, execute_config


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        with_json=True,
        description="Show where in pictures a model sees the reason for a class: the picture as "
        "the network gets it beside a heatmap over it.",
    )
    add_model_flags(parser)
    parser.add_argument("pictures", metavar="PICTURE", nargs="*", help="picture files")
    parser.add_argument(
        "--data", metavar="DIR|FILE", help="folder or table (.csv, .tsv, .parquet) of pictures"
    )
    parser.add_argument(
        "--root", metavar="DIR", help="where paths in a table begin; default: at the table"
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="the class to explain; default: the predicted one of each picture",
    )
    parser.add_argument(
        "--output",
        metavar="FILE.png|DIR",
        help="file for one picture, or folder; default: explain in the run directory",
    )
    add_pixel_flag(parser)
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.explain import ExplainSettings, explain

    explain(ExplainSettings(**options))
