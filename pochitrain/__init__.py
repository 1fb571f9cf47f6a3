"""pochitrain: train an image classifier from a folder of labelled images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pochitrain.inference.predictor import Prediction, Predictor

__version__ = "1.2.0"
__all__ = ["Prediction", "Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the Python API when it is asked for: it needs torch, the command line does not."""
    if name in ("Prediction", "Predictor"):
        from pochitrain.inference import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
