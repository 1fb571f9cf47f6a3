"""Keys `report.*`: the page that a run leaves behind."""

from dataclasses import dataclass
from typing import Annotated

from pochitrain.config.validators import Choice, Range

LANGUAGES = ("auto", "en", "ja")


@dataclass
class ReportConfig:
    """The page report.html in the run directory."""

    html: bool = True
    """Whether a run makes the page at its end. A trial of a search never does."""
    language: Annotated[str, Choice(LANGUAGES)] = "auto"
    """Of the page: en, ja, or auto = Japanese where the locale is, else English."""
    max_pictures: Annotated[int, Range(ge=0)] = 1000
    """Validation pictures that are on the page, mistakes first; 0 = none."""
