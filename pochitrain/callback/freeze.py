"""A backbone that does not learn: for the first epochs, or for good."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.model.classifier import head_keys


class FreezeBackbone(Callback):
    """Keeps everything but the last layer as it is.

    Weights get no gradient (so no weight decay and no momentum either), and normalisation layers
    with running statistics use and keep the ones they have. Remembers nothing: what is frozen is
    a function of the epoch.
    """

    def __init__(self, model: nn.Module, num_epochs: int | None) -> None:
        """Freeze the backbone of `model`.

        Args:
            num_epochs: in the first so many epochs; None = for good.
        """
        head = head_keys(model)
        self.parameters = [p for name, p in model.named_parameters() if name not in head]
        self.norms = [part for part in model.modules() if isinstance(part, _NormBase)]
        self.num_epochs = num_epochs

    def on_epoch_start(self, state: TrainState) -> None:
        frozen = self.num_epochs is None or state.epoch < self.num_epochs
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        if frozen:
            for norm in self.norms:
                norm.eval()
