"""Building the loss of a run from any module of (logits, labels)."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from pochitrain.config.component import Components, plain
from pochitrain.config.loss import LossConfig
from pochitrain.config.signature import accepted_names, offer
from pochitrain.error import ConfigError, require
from pochitrain.text import first_line

# B samples, C classes.


class SummedLoss(nn.Module):
    """A loss that can be summed over batches: total loss / total weight is the exact mean.

    Every sample has weight 1, except where torch itself takes a weighted mean: CrossEntropyLoss and
    NLLLoss of class indices (of class probabilities, they divide by B whatever the weights).
    A loss with reduction="sum" or "none" trains like one with "mean".
    """

    def __init__(self, module: nn.Module) -> None:
        """Wrap `module`, which maps logits (B, C) and labels (B,) to a mean, a sum or (B,) losses.

        Its attribute `reduction` says which; without one, it is the mean.
        """
        super().__init__()
        self.module = module

    @property
    def weight(self) -> Tensor | None:
        """Weight of each class, float, shape (C,); None if the module has no class weights."""
        weight = getattr(self.module, "weight", None)
        return weight if isinstance(weight, Tensor) else None

    def forward(self, logits_BC: Tensor, target: Tensor) -> Tensor:
        """Mean loss of the batch: total loss / total weight."""
        total, weight = self.sums(logits_BC, target)
        return total / weight

    def sums(
        self, logits_BC: Tensor, target: Tensor, sample_weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Total loss and total weight of a batch.

        Args:
            target: class indices, int64, shape (B,); or class probabilities, shape (B, C).
            sample_weights: float32, shape (B,), multiplied with those of the classes; None = 1.
                The module must then give a loss for each sample.

        Raises:
            ValueError: if it does not.
        """
        result = self.module(logits_BC, target)
        if sample_weights is not None:
            return self.weighted_sums(result, target, sample_weights)
        weight = self.total_weight(result, target)
        if result.ndim > 0:
            return result.sum(), weight
        if getattr(self.module, "reduction", "mean") == "sum":
            return result, weight
        return result * weight, weight

    def total_weight(self, result: Tensor, target: Tensor) -> Tensor:
        """Total weight of the batch with loss `result`, a scalar of its dtype and device."""
        if not self.averages_by_weight or self.weight is None or target.ndim > 1:
            return result.new_tensor(float(len(target)))
        return self.weight[target].sum()

    @property
    def averages_by_weight(self) -> bool:
        """Whether torch divides by the weights of the classes that occur."""
        return isinstance(self.module, (nn.CrossEntropyLoss, nn.NLLLoss))

    def weighted_sums(
        self, losses_B: Tensor, target: Tensor, sample_weights_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `sums`, of the losses of the samples."""
        if losses_B.shape != (len(target),):
            raise ValueError(f"its result has shape {tuple(losses_B.shape)}, not ({len(target)},)")
        total = (losses_B * sample_weights_B).sum()
        if not self.averages_by_weight or self.weight is None or target.ndim > 1:
            return total, sample_weights_B.sum()
        return total, (self.weight[target] * sample_weights_B).sum()


def build_criterion(
    parts: Components,
    num_images_per_class: Sequence[int],
    *,
    soft_labels: bool = False,
    sample_weights: bool = False,
) -> nn.Module:
    """Build the loss of group `loss`, with a method `sums` (see SummedLoss), and try it once.

    The target gets `num_images_per_class` and `num_classes` if it has parameters of these names.

    Args:
        num_images_per_class: in the training split.
        soft_labels: whether it must accept class probabilities too (mixup).
        sample_weights: whether it must accept a weight for each sample.

    Raises:
        ConfigError: if it is not a classification loss, or cannot be weighted by sample.
    """
    num_classes = len(num_images_per_class)
    node = own_arguments(parts.cfg.loss)
    arguments: dict[str, Any] = offer(
        node, num_images_per_class=num_images_per_class, num_classes=num_classes
    )
    if isinstance(node.get("weight"), Sequence):  # torch needs a tensor, which YAML cannot express
        arguments["weight"] = torch.tensor(node["weight"], dtype=torch.float32)
        del node["weight"]
    criterion: nn.Module = parts.build("loss", OmegaConf.create(node), **arguments)
    name = type(criterion).__name__
    require(isinstance(criterion, nn.Module), "loss", "a torch.nn.Module", name)
    require(
        not any(parameter.requires_grad for parameter in criterion.parameters()),
        "loss",
        "a module without parameters of its own",
        name,
        "The optimizer would not train them.",
    )
    ignored = getattr(criterion, "ignore_index", -1)
    rule = f"outside the class indices 0 to {num_classes - 1}"
    require(not 0 <= ignored < num_classes, "loss.ignore_index", rule, ignored)
    if not hasattr(criterion, "sums"):
        if sample_weights and hasattr(criterion, "reduction"):
            # A loss for each sample; where there are no weights (validation), it is summed.
            setattr(criterion, "reduction", "none")
        criterion = SummedLoss(criterion)
    try_criterion(criterion, name, num_classes, soft_labels)
    if sample_weights:
        try_sample_weights(criterion, name, num_classes)
    return criterion


def own_arguments(node: DictConfig) -> dict[str, Any]:
    """The node as plain values, without defaults of the shipped loss that another target lacks.

    With `loss._target_=...`, the node still has the fields of the shipped loss. `balance` and
    those at their default are dropped if the new target does not accept them.
    """
    values: dict[str, Any] = plain(node)
    names = accepted_names(str(values.get("_target_")))
    if names is None or not LossConfig.__dataclass_fields__.keys() <= values.keys():
        return values
    off = {"balance": values.get("balance"), "class_weights": None, "label_smoothing": 0.0}
    return {
        key: value
        for key, value in values.items()
        if key in names or key not in off or value != off[key]
    }


def try_criterion(criterion: nn.Module, name: str, num_classes: int, soft_labels: bool) -> None:
    """Compute the loss of a few samples, before training starts.

    Raises:
        ConfigError: if that fails, or the result is not a single number with a gradient.
    """
    num_samples = (
        num_classes + 1
    )  # not num_classes, or losses that pair scores with labels would pass
    labels = torch.arange(num_samples) % num_classes
    kinds = {"class indices, shape (B,)": labels}
    if soft_labels:
        soft = nn.functional.one_hot(labels, num_classes).float()
        kinds["the class probabilities that transform.batch makes, shape (B, C)"] = soft
    for kind, target in kinds.items():
        logits = torch.zeros(num_samples, num_classes, requires_grad=True)
        reason = ""
        try:
            with warnings.catch_warnings(action="ignore"):
                total = criterion.sums(logits, target)[0]  # type: ignore[operator]
            if total.shape != () or not total.requires_grad:
                reason = f"its result has shape {tuple(total.shape)} or no gradient"
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
        if reason:
            raise ConfigError(
                f"loss must be computable from logits, shape (B, C), and {kind}, got {name}, which "
                f"is not: {reason}."
            )


def try_sample_weights(criterion: nn.Module, name: str, num_classes: int) -> None:
    """Compute the loss of a few samples with weights, before training starts.

    Raises:
        ConfigError: if that fails.
    """
    logits, labels = torch.zeros(num_classes, num_classes), torch.arange(num_classes)
    try:
        # `build_criterion` has given every loss a method `sums`, which nn.Module does not have.
        criterion.sums(logits, labels, torch.ones(num_classes))  # type: ignore[operator]
    except Exception as error:
        raise ConfigError(
            "data.weight_column must be null with a loss that does not give one number for each "
            f"picture (reduction=none), got {name}: {type(error).__name__}: {first_line(error)}."
        ) from error
