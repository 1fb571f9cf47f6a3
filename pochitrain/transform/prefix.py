"""Where the random part of a pipeline begins; what comes before is the same in every epoch."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from torch import nn
from torchvision import transforms as v1
from torchvision.transforms import v2

from pochitrain.transform.fit import FitImage
from pochitrain.transform.pipeline import Pipeline, build_pipeline

DETERMINISTIC = (
    *(v1.Resize, v1.CenterCrop, v1.Pad, v1.Grayscale),
    *(v2.Resize, v2.CenterCrop, v2.Pad, v2.Grayscale, v2.RGB, v2.Identity, nn.Identity),
    FitImage,
)
"""Steps that make the same 8-bit image of the same image. Exactly these classes: what is derived
from them may draw a random number."""

RANDOM_CROPS = (v1.RandomResizedCrop, v2.RandomResizedCrop)


def split_pipeline(transform: Callable[..., Any]) -> tuple[list[Any], Callable[..., Any]]:
    """The deterministic steps at the beginning of a pipeline, and the rest of it.

    A transform that is no torchvision v2 Compose is all rest.
    """
    if not isinstance(transform, v2.Compose):
        return [], transform
    steps = open_up(transform.transforms)
    count = next((i for i, step in enumerate(steps) if not is_deterministic(step)), len(steps))
    return steps[:count], join_steps(steps[count:])


def join_steps(steps: Sequence[Any]) -> v2.Compose:
    """A pipeline of `steps`, which may be none."""
    return build_pipeline(steps or [v2.Identity()])


def open_up(steps: Sequence[Any]) -> list[Any]:
    """The steps, those inside a Compose or Sequential one by one."""
    found: list[Any] = []
    for step in steps:
        if type(step) in (v1.Compose, v2.Compose):
            found += open_up(step.transforms)
        elif type(step) is nn.Sequential:
            found += open_up(list(step))
        else:
            found.append(step)
    return found


def is_deterministic(step: Any) -> bool:
    return type(step) in DETERMINISTIC and getattr(step, "num_output_channels", 3) == 3


def describe_steps(steps: Sequence[Any]) -> str:
    """What tells these steps from others: their classes and arguments."""
    return "; ".join(f"{type(step).__module__} {step!r} {vars_of(step)}" for step in steps)


def vars_of(step: Any) -> str:
    """The arguments of a step; some classes leave one out of their repr."""
    known = {key: value for key, value in vars(step).items() if not key.startswith("_")}
    return repr(sorted((key, repr(value)) for key, value in known.items() if key != "training"))


def draws_from_torch_only(step: Any) -> bool:
    """Whether all random numbers of a step come from torch, as far as we can know."""
    inner = getattr(step, "transforms", None)
    inner = list(step.children()) if inner is None and isinstance(step, nn.Module) else inner
    if not all(map(draws_from_torch_only, inner or [])):
        return False
    if isinstance(step, (v1.RandomOrder, v1.RandomChoice, v1.Lambda, v2.Lambda)):
        return False
    module = type(step).__module__
    return module.startswith(("torchvision.transforms.", "torch.nn.")) or type(step) is Pipeline


class ShrinkTo(nn.Module):
    """Makes the shorter side of larger images `px` pixels, before a random crop."""

    def __init__(self, px: int) -> None:
        """Shrink to `px` >= 1 pixels."""
        super().__init__()
        self.px = px

    def forward(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        factor = self.px / min(width, height)
        if factor >= 1:
            return image
        size = (max(self.px, round(width * factor)), max(self.px, round(height * factor)))
        return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)

    def extra_repr(self) -> str:
        return f"px={self.px}"


def begins_with_random_crop(rest: Callable[..., Any]) -> bool:
    return (
        isinstance(rest, v2.Compose)
        and len(rest.transforms) > 0
        and isinstance(rest.transforms[0], RANDOM_CROPS)
    )


def lossless_px(rest: Callable[..., Any]) -> int:
    """Shorter side in px from which on no crop of a RandomResizedCrop is enlarged.

    The smallest crop has the area scale[0] * W * H and the narrowest shape of `ratio`; its narrow
    side must have as many pixels as the result. For images of 4 : 3, as photographs are.
    """
    assert isinstance(rest, v2.Compose)
    step = rest.transforms[0]
    side = max(step.size)
    narrowest = min(step.ratio[0], 1 / step.ratio[1], 1.0)
    return int((side**2 / (step.scale[0] * narrowest) * 3 / 4) ** 0.5) + 1
