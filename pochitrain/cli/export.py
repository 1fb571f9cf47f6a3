"""`pochi export RUN [--format onnx] [--opset N] [--dynamic-batch]`."""

from pochitrain.cli.flag import (
    FlagParser,
    add_model_flags,
    add_num_workers_flag,
    execute_config,
    positive,
)


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog,
        with_json=True,
        description="Write the model as an ONNX file, and prove on the validation pictures that "
        "it predicts the same classes.",
    )
    add_model_flags(parser, with_device=False)
    parser.add_argument("--data", metavar="DIR", help="other pictures for the proof")
    parser.add_argument("--output", metavar="FILE", help="default: model.onnx in the run directory")
    parser.add_argument("--format", choices=["onnx"], default="onnx")
    parser.add_argument("--opset", type=positive, metavar="N", help="default: the exporter's")
    parser.add_argument(
        "--dynamic-batch", action="store_true", help="accept any number of pictures at once"
    )
    add_num_workers_flag(parser)
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.export import ExportSettings, export

    export(ExportSettings(**options))
