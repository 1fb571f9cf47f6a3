"""Freezing the backbone, or only the statistics of its normalisation layers."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.model.head import head_keys


class FreezeBackbone(Callback):
    """Trains only the last layer.

    The other parameters get no gradient (so neither weight decay nor momentum), and normalisation
    layers use their running statistics without updating them. There is no state to save: what is
    frozen depends only on the epoch.
    """

    def __init__(self, model: nn.Module, num_epochs: int | None) -> None:
        """Freeze the backbone of `model`.

        Args:
            num_epochs: number of epochs from the start; None = the whole run.
        """
        head = head_keys(model)
        self.parameters = [p for name, p in model.named_parameters() if name not in head]
        self.norm = FreezeNorm(model)
        self.num_epochs = num_epochs

    def on_epoch_start(self, state: TrainState) -> None:
        frozen = self.num_epochs is None or state.epoch < self.num_epochs
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        if frozen:
            self.norm.on_epoch_start(state)


class FreezeNorm(Callback):
    """Normalisation layers use the running statistics that the model starts with, in every epoch.

    Their scale and shift are trained like other parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = [part for part in model.modules() if isinstance(part, _NormBase)]

    def on_epoch_start(self, state: TrainState) -> None:
        for layer in self.layers:
            layer.eval()
