"""Shows the learning rates of a run without training."""

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from rich import box
from rich.table import Table
from torch import nn

from pochitrain.config.component import Components
from pochitrain.config.strategy import BUDGET, PROBE, strategy_name
from pochitrain.console import open_console
from pochitrain.error import require
from pochitrain.manner import print_json
from pochitrain.optimizer.layer_wise_lr import RateRule, build_parameter_groups
from pochitrain.run.optimization import find_rate_rules


def show_rates(cfg: DictConfig, warnings: list[str], every_parameter: bool) -> None:
    """Print a table of the rules; with `every_parameter`, also one of all parameters.

    Raises:
        ConfigError: as in training, for example for a pattern that matches no parameter.
    """
    name = strategy_name(cfg)
    remedy = "probe and budget choose rates when they start, and say which."
    require(
        name not in (PROBE, BUDGET),
        "strategy.name",
        "a strategy that trains all layers",
        name,
        remedy,
    )
    console = open_console()
    for warning in warnings:
        console.warn(f"Warning: {warning}")
    parts = Components(cfg)
    rules = find_rate_rules(cfg, build_untrained(parts))
    print_json(describe_rules(rules, every_parameter) | {"warnings": warnings})
    console.result(summary_table(rules))
    if cfg.layer_wise_lr.no_weight_decay_on_bias_and_norm:
        groups = build_parameter_groups(rules, no_weight_decay_on_bias_and_norm=True)
        exempt = sum(len(group["params"]) for group in groups if group.get("weight_decay") == 0)
        console.result(f"Without weight decay: {exempt} tensors (biases and normalisation).")
    if every_parameter:
        console.result(parameter_table(rules))


def describe_rules(rules: list[RateRule], every_parameter: bool) -> dict[str, Any]:
    """The JSON document of --json."""
    content: dict[str, Any] = {
        "rules": [
            {
                "rule": rule.name,
                "tensors": len(rule.parameters),
                "parameters": rule.num_values,
                "rate": rule.rate,
            }
            for rule in rules
        ]
    }
    if every_parameter:
        content["parameters"] = [
            {
                "parameter": name,
                "rule": rule.name,
                "shape": list(parameter.shape),
                "rate": rule.rate,
            }
            for rule in rules
            for name, parameter in rule.parameters
        ]
    return content


def build_untrained(parts: Components) -> nn.Module:
    """The model of the config without pretrained weights, with a head for the data."""
    node = parts.cfg.model.copy()
    with open_dict(node):
        for key, value in (("pretrained", False), ("weights", None)):
            if key in node:
                node[key] = value
    num_classes = node.get("num_classes") or count_classes(parts)
    model: nn.Module = parts.build("model", node, num_classes=num_classes)
    return model


def count_classes(parts: Components) -> int:
    """Number of classes in the data. The images are not opened."""
    if "verify" in parts.cfg.data:
        OmegaConf.update(parts.cfg, "data.verify", False)
    return len(parts.build_data().class_names)


def summary_table(rules: list[RateRule]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("rule", overflow="fold")
    for name in ("tensors", "parameters", "rate"):
        table.add_column(name, justify="right")
    for rule in rules:
        table.add_row(
            rule_name(rule, len(rules)),
            f"{len(rule.parameters)}",
            f"{rule.num_values:,}",
            f"{rule.rate:g}",
        )
    table.add_section()
    num_values = sum(rule.num_values for rule in rules)
    table.add_row("total", str(sum(len(rule.parameters) for rule in rules)), f"{num_values:,}", "")
    return table


def rule_name(rule: RateRule, num_rules: int) -> str:
    """The name of a rule as rich markup; one without a name is for the remaining parameters."""
    if rule.name is not None:
        return rule.name.replace("[", r"\[")  # no markup
    return "(all)" if num_rules == 1 else "(the rest)"


def parameter_table(rules: list[RateRule]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("parameter", "rule"):
        table.add_column(name, overflow="fold")
    for name in ("shape", "rate"):
        table.add_column(name, justify="right")
    for rule in rules:
        for name, parameter in rule.parameters:
            shape = " x ".join(map(str, parameter.shape)) or "1"
            table.add_row(name, rule_name(rule, len(rules)), shape, f"{rule.rate:g}")
    return table
