"""A classifier that is given features in place of images."""

from torch import Tensor, nn

from pochitrain.model.head import SplitModel


class HeadOnFeatures(nn.Module):
    """Maps features, shape (B, D), to class scores, through the last layer of a classifier.

    It has the very modules of that classifier, so that its parameters and its state dict are those
    of the complete model, and only the last layer is trained.
    """

    def __init__(self, split: SplitModel) -> None:
        """Share the modules of `split.model`, and freeze all but its last layer."""
        super().__init__()
        self._modules = split.model._modules
        self._parameters = split.model._parameters
        self._buffers = split.model._buffers
        self.path = split.path
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        for parameter in split.layer.parameters():
            parameter.requires_grad_(True)

    def forward(self, features_BD: Tensor) -> Tensor:
        scores: Tensor = self.get_submodule(self.path)(features_BD)
        return scores

    @property
    def layer(self) -> nn.Linear:
        """The last layer."""
        layer = self.get_submodule(self.path)
        assert isinstance(layer, nn.Linear)
        return layer

    def frozen_tensors(self) -> dict[int, Tensor]:
        """Address -> tensor on the CPU, of all that is not the last layer."""
        own = {f"{self.path}.{name}" for name in self.get_submodule(self.path).state_dict()}
        return {
            tensor.data_ptr(): tensor.detach().cpu()
            for name, tensor in self.state_dict().items()
            if name not in own and tensor.numel()
        }
