"""Evaluation of a model on a split."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pochitrain.data.loader import Batch
from pochitrain.engine.device import Precision
from pochitrain.engine.process_group import ALONE, ProcessGroup
from pochitrain.engine.state import RunningMetrics
from pochitrain.metric.metric import Evaluation


def loss_sums(
    criterion: nn.Module, logits: Tensor, labels: Tensor, sample_weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Total loss and total weight of a batch, scalars, for any criterion.

    A criterion without a method `sums` is assumed to return the mean over the batch.

    Args:
        sample_weights: float32, shape (B,), for training only; evaluation counts every image once.
    """
    if hasattr(criterion, "sums"):
        sums: Callable[..., tuple[Tensor, Tensor]] = getattr(criterion, "sums")
        return sums(logits, labels, *([] if sample_weights is None else [sample_weights]))
    assert sample_weights is None, "build_criterion gives every loss a method sums"
    mean = criterion(logits, labels)
    num_samples = mean.new_full((), len(labels))  # new_tensor would wait for a GPU
    return mean * num_samples, num_samples


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    criterion: nn.Module,
    precision: Precision,
    top_k: Collection[int] = (),
    left_out: Tensor | None = None,
    num_images: int | None = None,
    group: ProcessGroup = ALONE,
) -> Evaluation:
    """Run `model` in evaluation mode over `batches`. Results stay on the device until the end.

    Args:
        top_k: the values of k for which top-k hits are counted.
        left_out: True for each image of the split without which the accuracy is computed once more,
            bool, shape (N,), on the CPU.
        num_images: N, the size of the split; None = what is said of each image is not kept.
        group: the processes that share the images; each gets the result for all of them.
    """
    model.eval()
    sums = RunningMetrics(precision.device)
    confusion: Tensor | None = None
    limits = torch.tensor(sorted(top_k), dtype=torch.int64, device=precision.device)
    hits = torch.zeros_like(limits)
    kept = torch.zeros(2, dtype=torch.int64, device=precision.device)
    said: list[tuple[Tensor, Tensor, Tensor]] = []
    for images, labels, indices in batches:
        with precision.autocast():
            logits = model(images)
            loss, weight = loss_sums(criterion, logits, labels)
        predicted = logits.argmax(dim=1)
        sums.add(loss, weight, (predicted == labels).sum(), len(labels))
        if left_out is not None:
            counts_B = (~left_out[indices]).to(labels.device, non_blocking=True)
            kept += torch.stack([(counts_B & (predicted == labels)).sum(), counts_B.sum()])
        num_classes = logits.shape[1]
        if confusion is None:
            confusion = torch.zeros(num_classes**2, dtype=torch.int32, device=labels.device)
        cells = labels * num_classes + predicted
        # Not torch.bincount, for whose result the CPU waits.
        confusion.index_add_(0, cells, torch.ones_like(cells, dtype=torch.int32))
        side = num_classes
        if num_images is not None:
            said.append((indices, predicted, torch.softmax(logits.float(), dim=1).amax(dim=1)))
        if top_k:
            hits += (rank_of_truth(logits, labels)[:, None] < limits).sum(dim=0)
    if not group.is_alone:
        (side,) = group.largest(0 if confusion is None else side)
        if confusion is None:  # fewer images than processes
            confusion = torch.zeros(side**2, dtype=torch.int32, device=precision.device)
        group.add_up([sums.values, confusion, hits, kept])
    assert confusion is not None, "a validation split has at least one picture"
    mean_loss, _ = sums.result()
    counts = dict(zip(sorted(top_k), hits.tolist(), strict=True))
    matrix = confusion.reshape(side, side).cpu().to(torch.int64)
    num_correct, num_kept = kept.tolist()
    accuracy_of_kept = 100 * num_correct / num_kept if num_kept else None
    found = Evaluation(mean_loss, matrix.numpy(), counts, accuracy_of_kept)
    if num_images is None:
        return found
    predicted_N, confidence_N = by_position(said, num_images, precision.device)
    group.add_up([predicted_N, confidence_N])  # each image is in one process, 0 in the others
    return replace(
        found, predicted=predicted_N.cpu().numpy(), confidence=confidence_N.cpu().numpy()
    )


def by_position(
    said: Sequence[tuple[Tensor, Tensor, Tensor]], num_images: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What was said of each image, at its place in the split; 0 where nothing was said.

    Args:
        said: of each batch, the positions, predicted classes and confidences, shapes (B,).

    Returns:
        Predicted class, int64, and its probability, float32, both of shape (N,) on `device`.
    """
    predicted_N = torch.zeros(num_images, dtype=torch.int64, device=device)
    confidence_N = torch.zeros(num_images, dtype=torch.float32, device=device)
    if not said:  # one of several processes, with fewer images than those
        return predicted_N, confidence_N
    positions, classes, confidences = (torch.cat(parts) for parts in zip(*said, strict=True))
    positions = positions.to(device)
    return (
        predicted_N.index_copy_(0, positions, classes),
        confidence_N.index_copy_(0, positions, confidences),
    )


def rank_of_truth(scores_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Number of classes ranked before the true one, int64, shape (N,): 0 if it is predicted.

    Of equal scores, the lower class index comes first, as in argmax. NaN ranks before everything,
    so that it never counts as correct.
    """
    own_N1 = scores_NC.gather(1, labels_N[:, None])
    lower = torch.arange(scores_NC.shape[1], device=labels_N.device) < labels_N[:, None]
    ahead_NC = ~(scores_NC <= own_N1) | ((scores_NC == own_N1) & lower)
    return ahead_NC.sum(dim=1)
