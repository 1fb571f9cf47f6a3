"""`pochi calibrate RUN [--data DIR|FILE]`."""

from pochitrain.cli.flag import FlagParser, add_loading_flags, add_model_flags, execute_config


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        with_json=True,
        description="Fit the temperature that makes the confidence of a model honest, and store it "
        "in its checkpoint. The predicted classes stay the same.",
    )
    add_model_flags(parser)
    parser.add_argument(
        "--data",
        metavar="DIR|FILE",
        help="class folders, or a table with a column of classes, of pictures that the model was "
        "not trained on; default: the run's validation data",
    )
    add_loading_flags(parser)
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.calibrate import CalibrateSettings, calibrate

    calibrate(CalibrateSettings(**options))
