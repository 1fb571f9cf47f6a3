"""`pochi serve RUN [--host HOST] [--port PORT]`."""

from pochitrain.cli.flag import (
    FlagParser,
    add_decision_flags,
    add_model_flags,
    add_pixel_flag,
    execute_config,
    natural,
    positive,
)


def build_parser(prog: str) -> FlagParser:
    parser = FlagParser(
        prog=prog, description="Serve a trained model over HTTP, with a page to try it."
    )
    add_model_flags(parser)
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    parser.add_argument(
        "--port", type=natural, default=8000, help="default: 8000; 0 = any free one"
    )
    parser.add_argument(
        "--max-mb", type=positive, default=20, metavar="N", help="size of a request; default: 20"
    )
    parser.add_argument(
        "--max-megapixels",
        type=positive,
        default=50,
        metavar="N",
        help="size of a picture; default: 50",
    )
    parser.add_argument(
        "--max-files", type=positive, default=16, metavar="N", help="per request; default: 16"
    )
    add_pixel_flag(parser)
    add_decision_flags(parser)
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also accept this host name (repeatable); always: localhost, IP addresses, --host",
    )
    return parser


def run(argv: list[str], prog: str) -> None:
    options = vars(build_parser(prog).parse_args(argv))
    execute_config(options.pop("config"))
    from pochitrain.run.serve import ServeSettings, serve

    serve(ServeSettings(**options))
