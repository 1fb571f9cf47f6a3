"""The gradient of a last layer by its formula: a step on features is too short for autograd."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pochitrain.data.loader import Batch
from pochitrain.engine.device import Precision
from pochitrain.engine.microbatch import GradientAccumulator
from pochitrain.engine.state import TrainState
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.strategy.head_model import HeadOnFeatures

# B images of a batch, D features, C classes.

SUM = 2
"""torch's number for reduction="sum"."""
NO_LABEL = -100
"""torch's ignore_index, which no label is."""


class HeadGradient(GradientAccumulator):
    """Accumulates what autograd would, bit for bit, with the kernels that autograd calls.

    For a `HeadOnFeatures` whose loss is the cross entropy of pochitrain, without label smoothing,
    in float32; see `has_formula`.
    """

    def add_part(self, part: Batch, batch: Batch) -> None:
        """Add the gradient of `part` of `batch`, or of the whole batch."""
        split = part is not batch or self.batches_per_step > 1  # rare: short of memory
        if split or self.sample_weights is not None:
            super().add_part(part, batch)
            return
        criterion, model = self.criterion, self.state.model
        assert isinstance(criterion, CrossEntropy) and isinstance(model, HeadOnFeatures)
        layer, features_BD, labels_B = model.layer, batch.images, batch.labels
        with torch.no_grad():
            scores_BC = F.linear(features_BD, layer.weight, layer.bias)
            logs_BC = torch.log_softmax(scores_BC, 1)
            loss, total_weight = torch.ops.aten.nll_loss_forward.default(
                logs_BC, labels_B, criterion.weight, SUM, NO_LABEL
            )
            weight = criterion.total_weight(loss, labels_B)
            if not self.loss_check.accept(loss, batch, self.state):
                return
            by_log_BC = torch.ops.aten.nll_loss_backward.default(
                1 / weight, logs_BC, labels_B, criterion.weight, SUM, NO_LABEL, total_weight
            )
            by_score_BC = torch.ops.aten._log_softmax_backward_data.default(
                by_log_BC, logs_BC, 1, scores_BC.dtype
            )
            add_gradient(layer.weight, by_score_BC.t() @ features_BD)
            if layer.bias is not None:
                add_gradient(layer.bias, by_score_BC.sum(0))
            correct = (scores_BC.argmax(dim=1) == labels_B).sum()
        self.state.sums.add(loss, weight, correct, len(labels_B))

    def clear(self) -> None:
        """Forget the gradients, after a step."""
        model = self.state.model
        assert isinstance(model, HeadOnFeatures)
        for parameter in model.layer.parameters():
            parameter.grad = None


def add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient


def choose_accumulator(
    state: TrainState, criterion: nn.Module, precision: Precision
) -> type[GradientAccumulator]:
    """What computes the gradients of a run: the formula where it holds."""
    plain = precision.dtype is None and not precision.scaler.is_enabled()
    return HeadGradient if plain and has_formula(state.model, criterion) else GradientAccumulator


def has_formula(model: nn.Module, criterion: nn.Module) -> bool:
    """Whether the loss is the cross entropy of the scores of one linear layer, and no more.

    Exactly these classes: those derived from them, and layers with hooks, may do something else.
    """
    if type(model) is not HeadOnFeatures or type(criterion) is not CrossEntropy:
        return False
    layer = model.layer
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)
    tensors = [part for part in (layer.weight, layer.bias) if part is not None]
    watched = any(part._backward_hooks or not part.requires_grad for part in tensors)
    return (
        type(layer) is nn.Linear
        and criterion.label_smoothing == 0
        and not any(hooks)
        and not watched
        and not hasattr(layer, "parametrizations")
    )
