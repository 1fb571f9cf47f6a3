"""Groups `gradient_tracking` and `confusion_matrix`: diagnostics of a run."""

from dataclasses import dataclass, field
from typing import Annotated

from pochitrain.config.validators import Choice, Node, Numbers, Range, Regexes

AGGREGATIONS = ("median", "mean", "max", "rms")
FontSize = Annotated[int, Range(ge=1, le=200)]
"""Points."""


@dataclass
class GradientTrackingConfig:
    """The gradient norm of each layer, epoch by epoch."""

    enabled: bool = False
    """Write gradient_trace.csv and its graphs."""
    record_frequency: Annotated[int, Range(ge=1)] = 1
    """Record epochs n, 2n, ...; 1 = every epoch."""
    exclude_patterns: Annotated[list[str], Regexes()] = field(
        default_factory=lambda: [r"fc\.", r"\.bias"]
    )
    """Parameters that are left out, by re.search in their names."""
    group_by_block: bool = True
    """One value for each top-level block instead of each parameter."""
    aggregation_method: Annotated[str, Choice(AGGREGATIONS)] = "median"
    """How the norms of a block become one value."""


@dataclass
class ConfusionMatrixConfig:
    """How the confusion matrix is drawn."""

    title: str = "Confusion Matrix"
    """Title of the figure."""
    xlabel: str = "Predicted Label"
    """Label of the x axis."""
    ylabel: str = "True Label"
    """Label of the y axis."""
    fontsize: FontSize = 14
    """Size of the numbers in the cells, in points."""
    title_fontsize: FontSize = 16
    """Size of the title."""
    label_fontsize: FontSize = 12
    """Size of the labels of the axes."""
    figsize: Annotated[
        list[float],
        Numbers("width and height in inches, 0 < x <= 100", Range(gt=0, le=100), count=2),
    ] = field(default_factory=lambda: [8, 6])
    """Width and height in inches."""
    cmap: str = "Blues"
    """Name of a matplotlib colour map."""


def gradient_tracking_warnings(node: Node, root: Node) -> list[str]:
    if node.get("enabled") and not root["metrics"]["export"]:
        return [
            "gradient_tracking.enabled=true has no effect, because metrics.export is false: "
            "neither CSV files nor graphs are written."
        ]
    return []


GRADIENT_TRACKING = {"gradient_tracking": GradientTrackingConfig}
CONFUSION_MATRIX = {"confusion_matrix": ConfusionMatrixConfig}
