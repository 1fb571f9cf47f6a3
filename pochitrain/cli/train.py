"""`pochi train [--config FILE.py] [overrides]`."""


def run(argv: list[str], prog: str) -> None:
    from pochitrain.cli.app import run_app

    run_app(argv, prog)
