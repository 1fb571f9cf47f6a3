"""`pochi train [--config FILE.py] [overrides]`."""

import gc


def run(argv: list[str], prog: str) -> None:
    # Importing and composing make many objects and hardly any garbage; looking for it costs a
    # tenth of the time until the task begins (`app` switches the collector on again there).
    gc.disable()
    try:
        from pochitrain.cli.app import run_app
        from pochitrain.cli.config_file import use_config_flag
        from pochitrain.cli.flag import take_quiet
        from pochitrain.config.processes import refuse_processes
        from pochitrain.ranks import find_ranks

        argv = use_config_flag(take_quiet(argv))
        is_sweep = {"--multirun", "-m"} & set(argv) or any("hydra.mode" in word for word in argv)
        if is_sweep:
            refuse_processes("A sweep or search (--multirun)", find_ranks())
            # Its process lives long, and `app` may run in others.
            gc.enable()
        run_app(argv, prog)
    finally:
        gc.enable()
