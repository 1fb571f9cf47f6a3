"""Cross entropy with class weights and label smoothing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pochitrain.config.loss import check_num_weights

# B samples, C classes.


def class_balance_weights(num_images_C: Tensor) -> Tensor:
    """Loss weight per class that makes every class count equally.

    weight_c = N / (C * n_c), so a balanced set gets ones and the loss keeps its scale
    (the "balanced" heuristic of King & Zeng 2001, as in scikit-learn).

    Args:
        num_images_C: images per class in the training split, int64, shape (C,), all > 0.

    Returns:
        float32, shape (C,).
    """
    total = num_images_C.sum().double()
    return (total / (len(num_images_C) * num_images_C.double())).float()


class CrossEntropy(nn.Module):
    """torch's cross entropy, which can also be summed over batches of different size and weight."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits_BC: Tensor, target: Tensor) -> Tensor:
        """Mean loss of the batch: total loss / total weight, as nn.CrossEntropyLoss.

        Args:
            target: class indices, int64, shape (B,); or class probabilities, shape (B, C).
        """
        total, weight = self.sums(logits_BC, target)
        return total / weight

    def sums(
        self, logits_BC: Tensor, target: Tensor, sample_weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Total loss and total weight, scalars; summed over batches, they give the exact mean.

        Args:
            sample_weights: float32, shape (B,), multiplied with those of the classes; None = 1.
        """
        losses = F.cross_entropy(
            logits_BC,
            target,
            weight=self.weight,
            reduction="sum" if sample_weights is None else "none",
            label_smoothing=self.label_smoothing,
        )
        weight = self.total_weight(losses, target, sample_weights)
        return (losses if sample_weights is None else (losses * sample_weights).sum()), weight

    def total_weight(
        self, like: Tensor, target: Tensor, sample_weights: Tensor | None = None
    ) -> Tensor:
        """Total weight of a batch, a scalar with dtype and device of `like`."""
        if self.weight is None:
            if sample_weights is None:
                return like.new_full((), len(target))  # new_tensor would wait for a GPU
            return sample_weights.sum()
        per_sample = (
            target.to(self.weight) @ self.weight if target.ndim == 2 else self.weight[target]
        )
        return per_sample.sum() if sample_weights is None else (per_sample * sample_weights).sum()


def build_cross_entropy(
    *,
    num_images_per_class: Sequence[int],
    balance: bool = True,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> CrossEntropy:
    """The loss of group `loss`.

    Args:
        num_images_per_class: in the training split.
        balance: derive the weights from these numbers, unless `class_weights` are given.
        class_weights: one per class, all > 0.
        label_smoothing: part of the target spread over all classes, 0 <= x < 1.

    Raises:
        ConfigError: if there is not one weight per class.
    """
    weight = None
    if class_weights is not None:
        check_num_weights(list(class_weights), len(num_images_per_class))
        weight = torch.tensor(list(class_weights), dtype=torch.float32)
    elif balance and len(set(num_images_per_class)) > 1:
        weight = class_balance_weights(torch.tensor(list(num_images_per_class)))
    return CrossEntropy(weight, label_smoothing)
