"""`pochi explain`: heatmaps of pictures as PNG files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pochitrain.atomic import write_text
from pochitrain.console import PrintableConsole, open_console
from pochitrain.data.decode import UnreadableImageError
from pochitrain.error import ConfigError
from pochitrain.inference.budget import MEGA
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.explain import Explainer, Explanation, find_class
from pochitrain.inference.source import Source, files_without_labels, open_source
from pochitrain.manner import print_json
from pochitrain.paths import make_numbered_directory
from pochitrain.report.heatmap import draw_explanation
from pochitrain.run.output_folder import not_writable, require_folder, run_folder
from pochitrain.text import format_csv, printable

TABLE = "explanations.csv"
COLUMNS = (
    "image_path",
    "file",
    "predicted",
    "predicted_class",
    "confidence",
    "explained_class",
    "true_class",
    "error",
)


@dataclass
class ExplainSettings:
    """The settings of the command line."""

    model: str
    pictures: Sequence[str] = ()
    data: str | None = None
    root: str | None = None
    class_name: str | None = None
    output: str | None = None
    device: str | None = None
    max_input_megapixels: int | None = None
    allow: Sequence[str] = ()


def explain(settings: ExplainSettings) -> Path:
    """Write a PNG for each picture; with several, also a table.

    Returns:
        The PNG of a single picture with --output FILE.png, else the folder.

    Raises:
        ConfigError: for a model, pictures, a class or an output that cannot be used.
    """
    console = open_console()
    classifier = load_classifier(settings.model, settings.device, settings.allow)
    explainer = Explainer(classifier)
    names = classifier.class_names
    wanted = settings.class_name
    chosen = None if wanted is None else find_class(wanted, names, "--class")
    source = open_pictures(classifier, settings)
    limit = settings.max_input_megapixels
    budget = classifier.plan_budget(1, None if limit is None else limit * MEGA)
    place = choose_place(settings, classifier, len(source.dataset))
    is_folder = place.is_dir()
    for note in source.warnings:
        console.warn(f"Warning: {note}")
    rows: list[list[Any]] = []
    for index in range(len(source.dataset)):
        name = source.dataset.name(index)
        true = names[source.dataset.labels[index]] if source.labelled else None
        file = place / file_name(index, name) if is_folder else place
        try:
            picture = source.dataset.load(index)
            found = explainer.explain(picture, budget, chosen)
        except UnreadableImageError as error:
            if len(source.dataset) == 1:
                raise ConfigError(f"{name}: {error}.") from error
            console.warn(f"unreadable  {name}: {error}")
            rows.append([name, None, None, None, None, None, true, str(error)])
            continue
        draw(explainer, picture, found, names, true, file)
        print_row(console, name, names, found)
        said = [found.predicted, names[found.predicted], round(found.confidence, 6)]
        rows.append([name, file.name, *said, names[found.class_index], true, None])
    written = [str(place / row[1] if is_folder else place) for row in rows if row[1]]
    if is_folder:
        write_text(place / TABLE, format_csv(COLUMNS, rows))
        written.append(str(place / TABLE))
    content = {"model": str(classifier.source), "data": source.origin or None}
    explanations = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    ending = {"files": written, "warnings": list(source.warnings)}
    print_json(content | {"explanations": explanations} | ending)
    console.result(f"Written to {place}", markup=False)
    return place


def open_pictures(classifier: Classifier, settings: ExplainSettings) -> Source:
    """The pictures of the command line, or those of --data.

    Raises:
        ConfigError: for neither, or both, or what is not there.
    """
    if settings.data is not None:
        if settings.pictures:
            raise ConfigError(
                f"PICTURE must be left out with --data, got {settings.pictures[0]!r}. Put all "
                "pictures into one folder or table."
            )
        return open_source(classifier, settings.data, settings.root)
    if not settings.pictures:
        raise ConfigError(
            "PICTURE must be at least one picture, got none. --data DIR takes all of a folder."
        )
    for path in settings.pictures:
        if not Path(path).is_file():
            seen = "a folder" if Path(path).is_dir() else "which is not there"
            raise ConfigError(
                f"PICTURE must be a picture, got {path!r}, {seen}. --data takes folders and tables."
            )
    return Source(files_without_labels(list(settings.pictures), classifier), False, "")


def choose_place(settings: ExplainSettings, classifier: Classifier, num_pictures: int) -> Path:
    """The PNG file, or the folder, which is made.

    Raises:
        ConfigError: if it cannot be written to.
    """
    if settings.output is None:
        home = run_folder(classifier)
        require_folder(home)
        return make_numbered_directory(home, "explain")
    place = Path(settings.output)
    if place.suffix.lower() == ".png" and not place.is_dir():
        if num_pictures != 1:
            raise ConfigError(
                f"--output must be a folder for {num_pictures:,} pictures, got {str(place)!r}."
            )
        if not place.parent.is_dir():
            raise ConfigError(not_writable(str(place.parent), "No such directory"))
        require_folder(place.parent)
        return place
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(not_writable(str(error.filename), str(error.strerror))) from error
    require_folder(place)
    return place


def file_name(index: int, name: str) -> str:
    """Of the PNG of a picture; numbered, because names in different folders may be the same."""
    return f"{index + 1:04d}_{Path(name).stem[:80]}.png"


def draw(
    explainer: Explainer,
    picture: Image.Image,
    found: Explanation,
    class_names: list[str],
    true: str | None,
    file: Path,
) -> None:
    """Write the PNG of a picture."""
    shown = explainer.view(found, picture.size)
    said = f"{class_names[found.predicted]}  {100 * found.confidence:.1f} %"
    if true is not None and true != class_names[found.predicted]:
        said += f" (is {true})"
    about = f"evidence for {class_names[found.class_index]}"
    if not found.heatmap.any():
        about = f"no evidence for {class_names[found.class_index]}"
    draw_explanation(shown, found.heatmap, (printable(said), printable(about)), file)


def print_row(
    console: PrintableConsole, name: str, class_names: list[str], found: Explanation
) -> None:
    said = f"{class_names[found.predicted]} {100 * found.confidence:.1f} %"
    if found.class_index != found.predicted:
        said += f", explained: {class_names[found.class_index]}"
    if not found.heatmap.any():
        said += " (no evidence for it)"
    console.print(f"{printable(name)}  {printable(said)}", markup=False)
