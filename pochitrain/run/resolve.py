"""Gives keys that are `auto` the value that suits the training images.

The values go into the config itself, and so into config.yaml and every checkpoint: what resumes or
uses a run does not choose again.
"""

from omegaconf import DictConfig, OmegaConf

from pochitrain.config.transform import AUTO_KEYS, TransformConfig, choose_crop_scale
from pochitrain.config.transform_step import find_unused, is_step
from pochitrain.data.dataset import DataSplits
from pochitrain.data.picture_size import PictureSizes, look_at_sizes
from pochitrain.error import ConfigError
from pochitrain.run.resume.find import overrides_of_command

NUM_FOR_WARNING = 200
"""Images looked at where nothing depends on them but a warning."""

LOOKED_AT: dict[tuple[str, int], PictureSizes | None] = {}
"""(name of the first image, number of images) -> what a job of this process has seen: the jobs of
a sweep look once."""


def has_auto(cfg: DictConfig) -> bool:
    """Whether a key is `auto` that the images decide."""
    return any(OmegaConf.select(cfg, key) == "auto" for key in AUTO_KEYS)


def resolve_auto(cfg: DictConfig, data: DataSplits) -> dict[str, str]:
    """Replace `auto` in `cfg`, which is changed.

    Returns:
        Rows for the summary of the run, label -> text: what was chosen and why.

    Raises:
        ConfigError: if no header of the training images can be read.
    """
    node = cfg.transform
    rows: dict[str, str] = {}
    if "auto" in (node.get("fit"), node.get("size")):
        sizes = look_at_sizes(data.train)
        if sizes is None:
            raise ConfigError(
                "transform.fit and transform.size must not be auto where no picture can be read."
            )
        rows |= resolve_by_sizes(node, sizes)
    if node.get("crop_scale") == "auto":
        size_px = int(node.get("size") or TransformConfig.size)
        node.crop_scale = choose_crop_scale(size_px, node.get("fit", "crop"))
        if "crop_scale" not in find_unused(node, ""):
            rows["crops"] = f"at least {node.crop_scale:g} of the area in training, at {size_px} px"
    return rows


def resolve_by_sizes(node: DictConfig, sizes: PictureSizes) -> dict[str, str]:
    """Replace `auto` by what suits the sizes of the images."""
    rows = {}
    if node.get("fit") == "auto":
        node.fit = sizes.choose_fit()
        rows["fit"] = f"{node.fit}, because {describe_loss(sizes)}"
    if node.get("size") == "auto":
        fit = node.get("fit", "crop")
        node.size = sizes.choose_size(fit)
        side = {"crop": "shorter side", "pad": "longer side", "squash": "side"}[fit]
        rows["size"] = f"{node.size} px, because the median {side} is {sizes.typical_side(fit)} px"
    return rows


def describe_loss(sizes: PictureSizes) -> str:
    return (
        f"a crop would cut away {sizes.crop_loss(50):.0%} of the median picture and "
        f"{sizes.crop_loss(95):.0%} of one in twenty ({sizes.num_looked_at:,} looked at)"
    )


def warn_of_crop(cfg: DictConfig, data: DataSplits) -> list[str]:
    """A warning where the validation crop cuts away much of the images, and nobody asked for it."""
    node = cfg.transform
    crops = any(is_step(step, "CenterCrop") for step in node.val)
    asked = overrides_of_command()(("transform", "fit"))
    if node.get("fit") != "crop" or asked or not crops or data.train.in_memory:
        return []
    key = (data.train.name(0), len(data.train))
    if key not in LOOKED_AT:
        LOOKED_AT.clear()
        LOOKED_AT[key] = look_at_sizes(data.train, NUM_FOR_WARNING)
    sizes = LOOKED_AT[key]
    if sizes is None or sizes.suits_crop():
        return []
    text = describe_loss(sizes).replace("would cut", "cuts")
    return [f"transform.fit=crop: {text}. transform.fit=auto chooses how to show all of them."]
