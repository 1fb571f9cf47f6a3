"""The transform pipeline, and its trial run before training."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from PIL import Image
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.transforms import v2

from pochitrain.error import ConfigError
from pochitrain.seed import seeded_cpu
from pochitrain.transform.fit import FitImage

TRIAL_SIZES = ((40, 30), (25, 50))
"""Width and height in pixels of the images that a pipeline is tried on."""
MAX_PIXELS = 178_956_970
"""Of an image after a resizing step: as many as may be decoded."""

RESIZES = (v1.Resize, v2.Resize)
FIXED_SIZE = (
    *(v1.CenterCrop, v1.RandomCrop, v1.RandomResizedCrop),
    *(v2.CenterCrop, v2.RandomCrop, v2.RandomResizedCrop, FitImage),
)
"""After one of these no image is large."""

LARGER = 40
"""Factor for a second try with larger images, which a crop may need (RandomCrop(224))."""


class Pipeline(v2.Compose):  # type: ignore[misc]  # torchvision has no types
    """A torchvision v2 Compose that refuses what would fill the memory.

    `Resize(256)` makes the shorter side 256 pixels, and gigabytes of a strip one pixel wide.
    """

    def forward(self, *inputs: Any) -> Any:
        if len(inputs) == 1 and isinstance(inputs[0], Image.Image):
            require_bearable(self.transforms, inputs[0].size)
        return super().forward(*inputs)

    def _get_name(self) -> str:
        return "Compose"


def build_pipeline(steps: Sequence[Callable[..., Any]]) -> v2.Compose:
    """One torchvision v2 Compose of the instantiated steps.

    It raises ValueError for an image that a step would enlarge to more than MAX_PIXELS.
    """
    return Pipeline(list(steps))


def require_bearable(steps: Sequence[Any], size: tuple[int, int]) -> None:
    """Refuse an image of `size` (width, height) that a step would make too large.

    Raises:
        ValueError: naming the step.
    """
    width, height = size
    for step in flatten(steps):
        short, longest = resize_rule(step)
        if short:
            factor = short / min(width, height)
            if longest:
                factor = min(factor, longest / max(width, height))
            width, height = round(width * factor), round(height * factor)
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{type(step).__name__} would make {width:,} x {height:,} pixels of it, more than "
                f"{MAX_PIXELS:,}"
            )
        if isinstance(step, FIXED_SIZE) or (short == 0 and isinstance(step, RESIZES)):
            return


def flatten(steps: Sequence[Any]) -> Iterator[Any]:
    """The steps, those inside a Compose, Sequential, RandomApply, ... one by one."""
    for step in steps:
        inner = getattr(step, "transforms", step if isinstance(step, nn.Sequential) else None)
        if isinstance(inner, (list, tuple, nn.ModuleList, nn.Sequential)):
            yield from flatten(list(inner))
        else:
            yield step


def resize_rule(step: Any) -> tuple[int, int]:
    """(side that the shorter one becomes, limit of the longer one) of a step; 0 = none."""
    if isinstance(step, v2.RandomShortestSize):
        return max(step.min_size), step.max_size or 0
    if isinstance(step, v2.RandomResize):
        return step.max_size, 0
    if not isinstance(step, RESIZES) or step.size is None:
        return 0, 0
    size = [step.size] if isinstance(step.size, int) else list(step.size)
    return (size[0], step.max_size or 0) if len(size) == 1 else (0, 0)


def try_pipeline(pipeline: Callable[[Image.Image], Any], key: str) -> bool:
    """Run `pipeline` on two small images of different size and shape.

    Args:
        key: dotted key for messages, `transform.train` or `transform.val`.

    Returns:
        Whether both results have the same size, that is, whether the pipeline resizes or crops.

    Raises:
        ConfigError: if it fails, or does not return a float tensor of shape (3, H, W).
    """
    shapes = set()
    for small in TRIAL_SIZES:
        try:
            result = run_trial(pipeline, small)
        except Exception:
            large = (small[0] * LARGER, small[1] * LARGER)
            try:
                result = run_trial(pipeline, large)
            except Exception as error:
                raise ConfigError(
                    f"{key} fails on a picture of {large[0]} x {large[1]} pixels: "
                    f"{type(error).__name__}: {error}"
                ) from error
        require_tensor(result, key)
        shapes.add(tuple(result.shape))
    return len(shapes) == 1


def run_trial(pipeline: Callable[[Image.Image], Any], size: tuple[int, int]) -> Any:
    """What `pipeline` returns for a plain image of `size` (width, height), with a fixed seed."""
    with seeded_cpu(0, "trial"):
        return pipeline(Image.new("RGB", size, (90, 120, 200)))


def require_tensor(result: object, key: str) -> None:
    """Check the result of the pipeline `key`.

    Raises:
        ConfigError: if it is not a float tensor of shape (3, H, W).
    """
    ok = isinstance(result, Tensor) and result.is_floating_point() and result.ndim == 3
    if ok and result.shape[0] == 3:  # type: ignore[attr-defined]
        return
    if isinstance(result, Tensor):
        seen = f"{result.dtype} tensor of shape {tuple(result.shape)}".replace("torch.", "")
    else:
        seen = f"{type(result).__name__}"
    raise ConfigError(
        f"{key} must give a float tensor of shape (3, H, W), got {seen}. "
        "Add torchvision.transforms.ToTensor before Normalize."
    )
