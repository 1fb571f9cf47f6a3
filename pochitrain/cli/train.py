"""`pochi train [--config FILE.py] [overrides]`."""


def run(argv: list[str], prog: str) -> None:
    from pochitrain.cli.app import run_app
    from pochitrain.cli.config_file import use_config_flag

    run_app(use_config_flag(argv), prog)
