"""The transform pipeline, and its trial run before training."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from pochitrain.error import ConfigError
from pochitrain.seed import seeded_cpu

TRIAL_SIZES = ((40, 30), (25, 50))
"""Width and height in pixels of the images that a pipeline is tried on."""
LARGER = 40
"""Factor for a second try with larger images, which a crop may need (RandomCrop(224))."""


def build_pipeline(steps: Sequence[Callable[..., Any]]) -> v2.Compose:
    """One torchvision v2 Compose of the instantiated steps."""
    return v2.Compose(list(steps))


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
