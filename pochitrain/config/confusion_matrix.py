"""Group `confusion_matrix`: how the confusion matrix is drawn."""

from dataclasses import dataclass, field

from pochitrain.config.validators import Node, is_number, require_range
from pochitrain.error import require


@dataclass
class ConfusionMatrixConfig:
    title: str = "Confusion Matrix"
    xlabel: str = "Predicted Label"
    ylabel: str = "True Label"
    fontsize: int = 14
    """Points, of the numbers in the cells."""
    title_fontsize: int = 16
    label_fontsize: int = 12
    figsize: list[float] = field(default_factory=lambda: [8, 6])
    """Width and height in inches."""
    cmap: str = "Blues"
    """Name of a matplotlib colour map."""


def check_confusion_matrix(node: Node, root: Node) -> None:
    for key in ("fontsize", "title_fontsize", "label_fontsize"):
        require_range(node, key, "confusion_matrix.", low=1, high=200)
    if "figsize" in node:
        size = node["figsize"]
        ok = len(size) == 2 and all(is_number(side) and 0 < side <= 100 for side in size)
        require(ok, "confusion_matrix.figsize", "width and height in inches, 0 < x <= 100", size)


SCHEMAS = {"confusion_matrix": ConfusionMatrixConfig}
