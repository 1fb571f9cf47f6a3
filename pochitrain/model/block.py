"""Division of a model into blocks, by the dotted names of its parameters."""

from collections import Counter
from collections.abc import Iterable

MIN_BLOCKS = 4
LARGEST_SHARE = 0.75
"""A block with a larger share of the tensors is a container (`features`, `encoder`).

The deepest stage of ResNet-152 holds 70 % and must stay one block.
"""


def find_blocks(names: Iterable[str]) -> dict[str, str]:
    """Block of each parameter: `layer1.0.conv1.weight` -> `layer1`.

    A block is a child of the model. While there are fewer than four, or one has more than three
    quarters of the tensors, the largest is replaced by its children:
    `features.3` in MobileNet, `encoder.layers.encoder_layer_7` in a vision transformer.

    Args:
        names: parameter names in the order of `named_parameters`.

    Returns:
        Name -> block, in the same order.
    """
    depth = dict.fromkeys(names, 1)
    while True:
        blocks = {name: prefix(name, length) for name, length in depth.items()}
        sizes = Counter(blocks.values())
        if not sizes:
            return blocks
        largest, size = sizes.most_common(1)[0]
        few = len(sizes) < MIN_BLOCKS or size > LARGEST_SHARE * len(blocks)
        inside = [name for name, block in blocks.items() if block == largest]
        children = {prefix(name, depth[name] + 1) for name in inside}
        if not few or children == {largest} or all(child in depth for child in children):
            return blocks
        for name in inside:
            depth[name] += 1


def prefix(name: str, length: int) -> str:
    """The first `length` parts of a dotted name.

    The last part, the name of the parameter, is included only if there is no other.
    """
    parts = name.split(".")
    return ".".join(parts[: min(length, max(1, len(parts) - 1))])
