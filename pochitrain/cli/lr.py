"""`pochi lr [--config FILE.py] [overrides] [--all]`."""

from omegaconf import DictConfig

from pochitrain.cli.flag import FlagParser
from pochitrain.error import ConfigError


def run(argv: list[str], prog: str) -> None:
    parser = FlagParser(
        prog=prog,
        usage=f"{prog} [--config FILE.py] [overrides] [--all] [--json]",
        description="Show which parameters each learning-rate rule applies to, and their rates. "
        "Nothing is trained. Takes the overrides of `pochi train`.",
        epilog=f"example: {prog} layer_wise_lr=resnet model=resnet50 --all",
        allow_abbrev=False,
        with_json=True,
    )
    parser.add_argument("--all", action="store_true", help="list every parameter")
    options, rest = parser.parse_known_args(argv)
    if {"-m", "--multirun"} & set(rest):
        raise ConfigError(f"{prog} shows one run, got --multirun. Leave it out.")

    from pochitrain.cli.app import run_app
    from pochitrain.cli.config_file import use_config_flag

    def show(cfg: DictConfig) -> None:
        from pochitrain.config.root import validate

        warnings = validate(cfg)
        from pochitrain.run.lr import show_rates  # torch is imported here, after the checks

        show_rates(cfg, warnings, every_parameter=options.all)

    run_app(use_config_flag(rest), prog, show)
