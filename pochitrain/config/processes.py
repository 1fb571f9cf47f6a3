"""What a training in several processes cannot do, refused before torch is imported."""

from omegaconf import DictConfig

from pochitrain.config.strategy import FINETUNE, SCRATCH, strategy_name
from pochitrain.error import ConfigError, require
from pochitrain.ranks import Ranks


def check_processes(cfg: DictConfig, ranks: Ranks) -> list[str]:
    """Check a composed tree against the number of processes.

    Returns:
        Warnings.

    Raises:
        ConfigError: for settings that need one process.
    """
    if ranks.is_alone:
        return [] if cfg.sync_batch_norm else ["sync_batch_norm has no effect in one process."]
    size = ranks.world_size
    rule = f"{{}} in a training in several processes ({size} here)"
    alone = "Or train in one process."
    strategies = (SCRATCH, FINETUNE)
    name = strategy_name(cfg)
    require(name in strategies, "strategy", rule.format(" or ".join(strategies)), name, alone)
    require(cfg.tune != "auto", "tune", rule.format("off"), cfg.tune, alone)
    batch_size = int(cfg.data.get("batch_size", cfg.batch_size))
    remedy = "It is that of all processes together."
    require(batch_size >= size, "batch_size", rule.format(f"at least {size}"), batch_size, remedy)
    require(
        cfg.fault.out_of_memory == "stop",
        "fault.out_of_memory",
        rule.format("stop"),
        cfg.fault.out_of_memory,
        "Use a smaller batch_size and gradient_accumulation.",
    )
    kinds = (None, "cpu", "cuda")
    require(
        cfg.device in kinds,
        "device",
        rule.format("cuda (each process takes one), cpu or null"),
        cfg.device,
    )
    return []


def refuse_processes(what: str, ranks: Ranks) -> None:
    """Refuse a command that one process does.

    Args:
        what: the command, as the message names it.

    Raises:
        ConfigError: if this is one of several processes.
    """
    if not ranks.is_alone:
        without = "torchrun" if ranks.launcher == "torchrun" else "srun (or with one task)"
        raise ConfigError(
            f"{what} must run in one process, got {ranks.world_size} started by "
            f"{ranks.launcher}. Start it without {without}: only a single training (pochi train) "
            "can use several."
        )
