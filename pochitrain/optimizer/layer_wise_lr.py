"""Layer-wise learning rates."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pochitrain.error import ConfigError
from pochitrain.text import shorten_list

NamedParameters = Iterable[tuple[str, nn.Parameter]]


@dataclass
class RateRule:
    """A group of parameters and its learning rate, before any schedule."""

    name: str | None
    """The pattern or block, as in the CSV column `lr_<name>`; None for the remaining parameters."""
    rate: float
    parameters: list[tuple[str, nn.Parameter]] = field(default_factory=list)

    @property
    def num_values(self) -> int:
        """Number of values in all its tensors."""
        return sum(parameter.numel() for _, parameter in self.parameters)


def assign_rates(
    named_parameters: NamedParameters, layer_rates: Mapping[str, float], learning_rate: float
) -> list[RateRule]:
    """Assign each parameter to the first pattern that matches the start of its dotted name.

    As `re.match`: `conv1` matches `conv1.weight` but not `layer1.0.conv1.weight`.

    Args:
        layer_rates: ordered; regular expression -> learning rate.
        learning_rate: rate of the parameters that no pattern matches.

    Returns:
        One rule per pattern, in order; then one without a name, if parameters remain.

    Raises:
        ConfigError: for a pattern that matches nothing, or nothing that earlier patterns left.
    """
    named = list(named_parameters)
    rules = [RateRule(pattern, float(rate)) for pattern, rate in layer_rates.items()]
    rest = RateRule(None, learning_rate)
    for name, parameter in named:
        rule = next((rule for rule in rules if re.match(str(rule.name), name)), rest)
        rule.parameters.append((name, parameter))
    for rule in rules:
        if not rule.parameters:
            refuse_unused_pattern(str(rule.name), list(layer_rates), [name for name, _ in named])
    return [*rules, rest] if rest.parameters else rules


def refuse_unused_pattern(pattern: str, patterns: list[str], names: list[str]) -> None:
    """Raise the error for a pattern that got no parameter, with the reason.

    Args:
        pattern: one of `patterns`.
        names: the names of all parameters.

    Raises:
        ConfigError: always.
    """
    key = f"layer_wise_lr.layer_rates[{pattern!r}]"
    matched = [name for name in names if re.match(pattern, name)]
    if not matched:
        parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
        inside = [name for name in names if re.search(pattern, name)]
        hint = f" To reach {inside[0]} write '.*{pattern}'." if inside else ""
        raise ConfigError(
            f"{key} must match the start of a parameter's name, got {pattern!r}, which matches "
            f"none of {len(names)}.{hint} The model has: {parts}. "
            "`pochi lr --all` lists every name."
        )
    owners: list[str] = []
    for name in matched:
        owner = next(other for other in patterns if re.match(other, name))
        if owner not in owners:
            owners.append(owner)
    raise ConfigError(
        f"{key} must match a parameter that no earlier pattern matches, got {pattern!r}: all "
        f"{len(matched)} tensor(s) that it matches ({shorten_list(matched, 4)}) belong to "
        f"{', '.join(map(repr, owners))}. Write the more specific pattern first."
    )


def decay_rates(
    named_parameters: NamedParameters,
    block_of: Mapping[str, str],
    decay: float,
    learning_rate: float,
) -> list[RateRule]:
    """One rule per block, with rates that fall geometrically with the distance from the head.

    rate = learning_rate * decay ** (blocks between this one and the last), as in ULMFiT (Howard &
    Ruder 2018) and BEiT (Bao et al. 2022). A block without a weight matrix (a normalisation, a bare
    embedding) is not counted: it gets the rate of the block before it, or at the start of the model
    of the block after it.

    Args:
        block_of: parameter name -> block, in the order of the model.
        decay: 0 < decay <= 1.
    """
    named = list(named_parameters)
    members: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in named:
        members.setdefault(block_of[name], []).append((name, parameter))
    levels: list[RateRule] = []
    waiting: list[tuple[str, nn.Parameter]] = []
    for block, parameters in members.items():
        if any(name.endswith("weight") and p.ndim > 1 for name, p in parameters):
            levels.append(RateRule(block, 0.0, [*waiting, *parameters]))
            waiting = []
        elif levels:
            levels[-1].parameters += parameters
        else:
            waiting += parameters
    if waiting:
        levels.append(RateRule("model", 0.0, waiting))
    for distance, level in enumerate(reversed(levels)):
        level.rate = learning_rate * decay**distance
    return levels


def build_parameter_groups(
    rules: Sequence[RateRule], no_weight_decay_on_bias_and_norm: bool = False
) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer.

    The groups of a named rule get the key `name`, under which their rate is logged.

    Args:
        no_weight_decay_on_bias_and_norm: put vectors and scalars (biases, the scales and shifts
            of normalisation) into groups without weight decay, as timm does.
    """
    groups = []
    for rule in rules:
        shared: dict[str, Any] = {"lr": rule.rate}
        if rule.name is not None:
            shared["name"] = rule.name
        parameters = [parameter for _, parameter in rule.parameters]
        if not no_weight_decay_on_bias_and_norm:
            groups.append({**shared, "params": parameters})
            continue
        decayed = [parameter for parameter in parameters if parameter.ndim > 1]
        exempt = [parameter for parameter in parameters if parameter.ndim <= 1]
        if decayed:
            groups.append({**shared, "params": decayed})
        if exempt:
            groups.append({**shared, "params": exempt, "weight_decay": 0.0})
    return groups
