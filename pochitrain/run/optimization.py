"""The optimizer of a run with its learning rates, its scheduler, and how it steps."""

from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from pochitrain.config.component import Components, call_partial, plain
from pochitrain.config.strategy import PROBE, strategy_name
from pochitrain.engine.fault import FaultPolicy
from pochitrain.model.block import find_blocks
from pochitrain.optimizer.fused import choose_kernels
from pochitrain.optimizer.layer_wise_lr import (
    RateRule,
    assign_rates,
    build_parameter_groups,
    decay_rates,
)
from pochitrain.scheduler.warm_up import WarmUp


def build_optimization(
    parts: Components, groups: list[dict[str, Any]]
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Optimizer and scheduler of the groups of parameters."""
    cfg = parts.cfg
    optimizer = build_optimizer(parts, groups)
    scheduler = parts.complete("scheduler", optimizer)
    if cfg.warmup_epochs:
        scheduler = WarmUp(scheduler, cfg.warmup_epochs, cfg.warmup_start_factor)
    return optimizer, scheduler


def build_optimizer(parts: Components, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer of the config, fused where it can be and the config does not say otherwise."""
    partial = parts.build("optimizer")
    kernels = choose_kernels(partial.func, partial.keywords, groups)
    optimizer: torch.optim.Optimizer = call_partial("optimizer", partial, groups, **kernels)
    return optimizer


def group_parameters(cfg: DictConfig, model: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups for the optimizer, with their learning rates."""
    no_decay = cfg.layer_wise_lr.no_weight_decay_on_bias_and_norm
    return build_parameter_groups(find_rate_rules(cfg, model), no_decay)


def find_rate_rules(cfg: DictConfig, model: nn.Module) -> list[RateRule]:
    """The rules of group `layer_wise_lr`; a single one for all parameters if it is off."""
    node, rate = cfg.layer_wise_lr, cfg.optimizer.get("lr", cfg.learning_rate)
    named = list(model.named_parameters())
    if strategy_name(cfg) == PROBE:
        named = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    if not node.enabled:
        return [RateRule(None, rate, named)]
    if node.decay is not None:
        return decay_rates(named, find_blocks(name for name, _ in named), node.decay, rate)
    return assign_rates(named, plain(node.layer_rates), rate)


def step_settings(cfg: DictConfig) -> dict[str, Any]:
    """The arguments of the Trainer that say how batches become steps."""
    return {
        "gradient_accumulation": cfg.gradient_accumulation,
        "gradient_clip_norm": cfg.gradient_clip_norm,
        "faults": FaultPolicy(cfg.fault.nonfinite, cfg.fault.out_of_memory),
    }
