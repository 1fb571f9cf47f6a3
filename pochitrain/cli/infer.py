"""`pochi infer RUN_OR_CHECKPOINT [--data DIR|FILE] [--output DIR]`."""

import argparse


def build_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Evaluate a trained model, or classify pictures with it."
    )
    parser.add_argument("model", metavar="RUN", help="run directory, checkpoint (.pth) or .onnx")
    parser.add_argument(
        "--data",
        metavar="DIR|FILE",
        help="folder (with class folders: scored) or picture; default: the run's validation data",
    )
    parser.add_argument("--output", metavar="DIR", help="default: inference in the run directory")
    parser.add_argument("--device", help="cuda, cuda:1, mps, cpu; default: the first there")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="default: as in training")
    parser.add_argument("--num-workers", type=natural, metavar="N", help="default: half the cores")
    parser.add_argument("--top-k", type=positive, default=5, metavar="K", help="default: 5")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="TARGET",
        help="callable of your own that the run's transforms or model name, e.g. mypackage.*",
    )
    return parser


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text}")
    return value


def natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0, got {text}")
    return value


def run(argv: list[str], prog: str) -> None:
    options = build_parser(prog).parse_args(argv)
    from pochitrain.run.infer import InferSettings, infer

    infer(InferSettings(**vars(options)))
