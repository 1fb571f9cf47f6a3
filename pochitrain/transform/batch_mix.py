"""Mixup and cutmix for training batches."""

import torch
from torch import Tensor, nn
from torchvision.transforms import v2


class BatchMix(nn.Module):
    """Mixes each image of a batch, and its label, with another one of the same batch.

    mixup (Zhang et al. 2018) blends the pixels, cutmix (Yun et al. 2019) pastes a rectangle. The
    arguments and their meaning are timm's. Draws come from the CPU generator of torch.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        mixup_alpha: float = 0.0,
        cutmix_alpha: float = 0.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
    ) -> None:
        """Choose what to mix.

        Args:
            num_classes: number of classes.
            mixup_alpha: parameter of the Beta distribution of the mixing ratio; 0 = no mixup.
            cutmix_alpha: the same for the area of the rectangle; 0 = no cutmix.
            prob: probability that a batch is mixed at all.
            switch_prob: probability of cutmix, if both are on.

        Raises:
            ValueError: an alpha < 0, both 0, or a probability outside 0..1.
        """
        super().__init__()
        if mixup_alpha < 0 or cutmix_alpha < 0 or mixup_alpha == cutmix_alpha == 0:
            raise ValueError(
                "mixup_alpha and cutmix_alpha must be >= 0 and not both 0, got "
                f"{mixup_alpha} and {cutmix_alpha}"
            )
        if not (0 <= prob <= 1 and 0 <= switch_prob <= 1):
            raise ValueError(
                f"prob and switch_prob must be >= 0 and <= 1, got {prob} and {switch_prob}"
            )
        self.num_classes = num_classes
        self.prob = prob
        self.switch_prob = switch_prob
        on = {v2.MixUp: mixup_alpha, v2.CutMix: cutmix_alpha}
        self.mixes = [mix(alpha=a, num_classes=num_classes) for mix, a in on.items() if a > 0]

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: float, shape (B, 3, H, W).
            labels: int64, shape (B,).

        Returns:
            Images of the same shape; class probabilities, float32, shape (B, C), rows sum to 1.
        """
        mixed, switch = torch.rand(2).tolist()
        if mixed >= self.prob:
            one_hot = nn.functional.one_hot(labels, self.num_classes)
            return images, one_hot.to(torch.float32)
        chosen = self.mixes[-1] if switch < self.switch_prob else self.mixes[0]
        images, probabilities = chosen(images, labels)
        return images, probabilities.to(torch.float32)


def try_batch_transform(transform: nn.Module, num_classes: int) -> None:
    """Run a batch transform on two small images.

    Raises:
        ValueError: if it does not return two images and their labels or class probabilities.
    """
    labels = torch.tensor([0, num_classes - 1])
    images, targets = transform(torch.zeros(2, 3, 8, 8), labels)
    if images.shape[:2] != (2, 3) or targets.shape not in ((2,), (2, num_classes)):
        raise ValueError(
            f"it must return pictures (B, 3, H, W) and labels (B,) or (B, {num_classes}), got "
            f"shapes {tuple(images.shape)} and {tuple(targets.shape)}"
        )
