"""`pochi migrate FILE.py -o conf/experiment/NAME.yaml`."""

import sys
from pathlib import Path

from pochitrain.cli.flag import FlagParser
from pochitrain.manner import is_quiet

DESCRIPTION = """Write a Python config (pochi_train_config.py) as a Hydra experiment in YAML.
The Python file is code and is executed. Training from the YAML composes to the same config."""


def run(argv: list[str], prog: str) -> None:
    from pochitrain.legacy.migrate import migrate

    parser = FlagParser(prog=prog, description=DESCRIPTION)
    parser.add_argument("file", type=Path, help="the Python config")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="conf/experiment/NAME.yaml"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    args = parser.parse_args(argv)
    done = migrate(args.file, args.output, args.overwrite)
    for text in done.warnings:
        print(f"Warning: {text}", file=sys.stderr)
    if done.helpers and not is_quiet():
        print(f"Helper variables, not written: {', '.join(done.helpers)}")
    for name in done.not_portable:
        print(
            f"Not portable: {name} exists only in {args.file}. To train from the YAML file add "
            f"--config {args.file}, or move the code into a module.",
            file=sys.stderr,
        )
    how = "" if is_quiet() else f" Train with:\n  {done.command}"
    print(f"Written to {done.output}.{how}")
