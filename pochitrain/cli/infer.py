"""`pochi infer RUN_OR_CHECKPOINT [--data DIR|FILE] [--output DIR]`."""

from pochitrain.cli.flag import (
    FlagParser,
    add_decision_flags,
    add_loading_flags,
    add_model_flags,
    add_pixel_flag,
    execute_config,
    positive,
)


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        with_json=True,
        description="Evaluate a trained model, or classify pictures with it.",
    )
    add_model_flags(parser)
    parser.add_argument(
        "--data",
        metavar="DIR|FILE",
        help="folder (with class folders: scored), picture, or table (.csv, .tsv, .parquet; with a "
        "column of classes: scored); default: the run's validation data",
    )
    add_loading_flags(parser)
    parser.add_argument("--output", metavar="DIR", help="default: inference in the run directory")
    add_pixel_flag(parser)
    add_decision_flags(parser)
    parser.add_argument("--top-k", type=positive, default=5, metavar="K", help="default: 5")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="heatmaps in mistakes.html (needs the extra explain)",
    )
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.infer import InferSettings, infer

    infer(InferSettings(**options))
