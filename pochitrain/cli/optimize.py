"""`pochi optimize [--config FILE.py] [overrides] [--output DIR]`: a search with Optuna."""

from pochitrain.error import ConfigError

USAGE = """usage: {prog} [--config FILE.py] [--output DIR] [overrides]

Searches hyper-parameters with Optuna: the same as python train.py --multirun optuna=default.

  --config FILE.py   a legacy config; its dict `optuna` says what to search
  --output DIR       where the results go (default: <work_dir>/optuna_results)
  --quiet            print only errors, warnings and the result
  --cfg job          show the config and exit
  overrides          as for python train.py, for example
                     optuna=grid optuna.n_trials=50 optuna.storage=sqlite:///study.db
                     'learning_rate=tag(log,interval(1e-4,1e-2))'
"""


def run(argv: list[str], prog: str) -> None:
    if {"-h", "--help"} & set(argv):
        print(USAGE.format(prog=prog))
        return
    from pochitrain.cli.app import run_app
    from pochitrain.cli.config_file import use_config_flag
    from pochitrain.cli.flag import take_quiet

    run_app(use_config_flag(search_arguments(take_quiet(argv))), prog)


def search_arguments(argv: list[str]) -> list[str]:
    """The arguments of `train.py` that start the search.

    Raises:
        ConfigError: for a flag without its path, or `optuna=none`.
    """
    words, output, config = [], None, None
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in ("--output", "-o", "--config") and (name != "--config" or not config):
            value = value if equals else next(rest, "")
            if not value:
                raise ConfigError(f"pochi optimize {name} must be followed by a path, got nothing.")
            if name == "--config":
                config = value
            else:
                output = value
        elif word not in ("--multirun", "-m"):
            words.append(word)
    if "optuna=none" in words:
        raise ConfigError(
            "optuna must not be none in pochi optimize, got optuna=none. Leave it out for the "
            "default search, or train without a search: pochi train."
        )
    start = [] if config is None else ["--config", config]
    if config is not None:
        # The file sets group optuna but cannot choose the sweeper.
        start += ["hydra/sweeper=search", "optuna.enabled=true"]
    elif not any(word.startswith(("optuna=", "+optuna=")) for word in words):
        start.append("optuna=default")
    if output is not None:
        start.append("hydra.sweep.dir='" + output.replace("'", "\\'") + "'")
    return [*([] if shows_only(words) else ["--multirun"]), *start, *words]


def shows_only(words: list[str]) -> bool:
    """Whether Hydra only prints something (--cfg, --info), which needs a single run."""
    flags = {word.partition("=")[0] for word in words}
    return bool(flags & {"--cfg", "-c", "--info", "-i", "--shell-completion", "-sc"})
