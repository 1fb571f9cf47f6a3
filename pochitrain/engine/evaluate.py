"""Loss, accuracy and confusion matrix of a model on a split."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pochitrain.data.loader import Batch
from pochitrain.engine.device import Precision
from pochitrain.engine.state import RunningMetrics


@dataclass
class Evaluation:
    loss: float
    """Mean."""
    accuracy: float
    """Percent."""
    confusion: Tensor
    """int64 on the CPU, shape (C, C), rows = true class, columns = predicted class."""


def loss_sums(criterion: nn.Module, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Total loss and total weight of a batch, for any criterion.

    One without a method `sums` is taken to return the mean over the batch.
    """
    if hasattr(criterion, "sums"):
        sums: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = getattr(criterion, "sums")
        return sums(logits, labels)
    mean = criterion(logits, labels)
    num_samples = mean.new_tensor(float(len(labels)))
    return mean * num_samples, num_samples


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Iterable[Batch], criterion: nn.Module, precision: Precision
) -> Evaluation:
    """Run `model` in evaluation mode over `batches`; nothing is read back before the end."""
    model.eval()
    sums = RunningMetrics(precision.device)
    confusion: Tensor | None = None
    for images, labels, _ in batches:
        with precision.autocast():
            logits = model(images)
            loss, weight = loss_sums(criterion, logits, labels)
        predicted = logits.argmax(dim=1)
        sums.add(loss, weight, (predicted == labels).sum(), len(labels))
        num_classes = logits.shape[1]
        cells = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
        confusion = cells if confusion is None else confusion + cells
        side = num_classes
    assert confusion is not None, "a validation split has at least one picture"
    mean_loss, accuracy = sums.result()
    return Evaluation(mean_loss, accuracy, confusion.reshape(side, side).cpu())
